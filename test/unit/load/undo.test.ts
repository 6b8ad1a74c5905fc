import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../../../src/model/event.ts';
import { fail, ok } from '../../../src/model/result.ts';
import { Undo } from '../../../src/load/undo.ts';

function step(log: string[], name: string) {
  return () => {
    log.push(name);
    return Promise.resolve(ok());
  };
}

test('steps are taken back in reverse order, each once', async () => {
  const log: string[] = [];
  const undo = new Undo(() => undefined);
  undo.add('one', step(log, 'one'));
  const two = undo.add('two', step(log, 'two'));
  undo.add('three', step(log, 'three'));
  assert.ok((await two()).ok);
  assert.ok((await two()).ok);
  await undo.run();
  await undo.run();
  assert.deepEqual(log, ['two', 'three', 'one']);
});

test('a step that fails when called is tried again at the end, and the rest still runs', async () => {
  const log: string[] = [];
  const events: Event[] = [];
  const undo = new Undo((event) => events.push(event));
  undo.add('last', step(log, 'last'));
  const broken = undo.add('break', () => {
    log.push('break');
    return Promise.resolve(fail({ reason: 'machine-lacks', what: 'x', remedy: 'y' } as const));
  });
  assert.equal((await broken()).ok, false);
  await undo.run();
  assert.deepEqual(log, ['break', 'break', 'last']);
  assert.deepEqual(
    events.map((event) => event.type === 'undo-failed' && event.what),
    ['break'],
  );
});

test('steps called at once are done once each, and the others stay', async () => {
  const log: string[] = [];
  const undo = new Undo(() => undefined);
  undo.add('last', step(log, 'last'));
  const slow = undo.add('slow', async () => {
    await new Promise(setImmediate);
    log.push('slow');
    return ok();
  });
  const quick = undo.add('quick', step(log, 'quick'));
  await Promise.all([slow(), quick()]);
  await undo.run();
  assert.deepEqual(log, ['quick', 'slow', 'last']);
});
