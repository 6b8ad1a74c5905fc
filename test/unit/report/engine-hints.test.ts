import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeFailure } from '../../../src/report/describe-failure.ts';
import { examineEngine } from '../../../src/report/examine-engine.ts';
import { localMachine } from '../../../src/report/machine.ts';

void test('a wrong name of an engine is no package to install, and one can do without', async () => {
  const machine = { ...localMachine(), findProgram: () => undefined };
  const look = (given: string): ReturnType<typeof examineEngine> => {
    const { signal } = new AbortController();
    return examineEngine(machine, { given, isRoot: true }, (tool) => `install ${tool}`, signal);
  };
  const missing = { what: 'container engine', ok: false };
  const detail = (name: string): string => `${name} is missing; --loader direct needs none`;
  assert.deepEqual(await look('nosuch'), { ...missing, detail: detail('nosuch') });
  assert.deepEqual(await look('docker'), {
    ...{ ...missing, detail: detail('docker') },
    remedy: 'install docker',
  });
});

void test('whoever lacks an engine is told of the loader that needs none', () => {
  const hint = (tool: string): string | undefined =>
    describeFailure({ reason: 'tool-missing', tool, package: tool }).hint;
  assert.match(hint('docker') ?? '', /--loader direct/);
  assert.doesNotMatch(hint('skopeo') ?? '', /loader/);
});
