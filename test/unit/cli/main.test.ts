import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { defineCommand } from '../../../src/cli/command.ts';
import { environment } from '../../../src/cli/environment.ts';
import { main } from '../../../src/cli/main.ts';
import { ok } from '../../../src/model/result.ts';

/** A verb with a bug: what no input can bring about must be shown all the same. */
const broken = defineCommand({
  name: 'broken',
  describe: 'throws',
  options: {},
  run: () => Promise.reject(new TypeError('undefined is no layer')),
});

const wanting = defineCommand({
  name: 'wanting',
  describe: 'wants much',
  positional: { name: 'input', option: { type: 'string' } },
  options: {
    output: { type: 'string', requiresArg: true, demandOption: true },
    loader: { choices: ['dind', 'direct'] as const },
  },
  run: () => Promise.resolve(ok({ text: '', json: {} })),
});

async function said(
  t: TestContext,
  argv: readonly string[],
): Promise<{ code: number; stderr: string; stdout: string }> {
  let stderr = '';
  let stdout = '';
  const print = t.mock.method(process.stdout, 'write', (text: string | Uint8Array) => {
    // The runner's own reports, which are no text, are not ours.
    if (typeof text === 'string') stdout += text;
    return true;
  });
  const write = t.mock.method(process.stderr, 'write', (text: string) => {
    stderr += text;
    return true;
  });
  const code = await main(argv, [broken, wanting]);
  write.mock.restore();
  print.mock.restore();
  return { code, stderr, stdout };
}

void test('what is thrown is exit code 1 and one message, with its place only where --debug asks', async (t) => {
  const quiet = await said(t, ['broken']);
  assert.equal(quiet.code, 1);
  assert.equal(
    quiet.stderr,
    'stowage: internal fault: undefined is no layer\n  hint: run again with --debug and report what it prints\n',
  );
  const loud = await said(t, ['broken', '--debug']);
  assert.equal(loud.code, 1);
  assert.match(loud.stderr, /^stowage: internal fault: TypeError: undefined is no layer\n {4}at /);
});

void test('a verb that there is not is named, and what may be meant', async (t) => {
  const { code, stderr } = await said(t, ['brokn', '--what']);
  assert.equal(code, 2);
  assert.match(stderr, /^stowage: unknown command brokn; did you mean broken\?\n/);
  const none = await said(t, ['nonsense']);
  assert.match(none.stderr, /^stowage: unknown command nonsense: there are broken, wanting\n/);
});

void test('no verb, and one that there is not, are exit code 2', async (t) => {
  for (const argv of [[], ['nonsense']]) {
    const { code, stderr } = await said(t, argv);
    assert.equal(code, 2);
    assert.match(stderr, /^stowage: .+\n {2}hint: stowage --help, stowage COMMAND --help\n$/);
  }
});

void test('a wrong command line is one JSON document where --json asks for it', async (t) => {
  for (const [argv, detail] of [
    [['wanting', 'x', '--json'], 'Missing required argument: output'],
    [['bogus', '--json'], 'unknown command bogus: there are broken, wanting'],
    [
      ['--json', 'wanting', 'x', '--output', 'y', '--loader', 'nope'],
      '--loader "nope" can\'t be: expected dind or direct',
    ],
  ] as const) {
    const { code, stdout, stderr } = await said(t, argv);
    assert.equal(code, 2);
    const { failure, exitCode } = JSON.parse(stdout) as { failure: object; exitCode: number };
    assert.deepEqual(failure, { reason: 'usage', detail });
    assert.equal(exitCode, 2);
    assert.ok(stderr.startsWith(`stowage: ${detail}\n`));
  }
  const { stdout } = await said(t, ['broken', '--json']);
  assert.equal((JSON.parse(stdout) as { exitCode: number }).exitCode, 1);
  assert.equal((await said(t, ['bogus'])).stdout, '');
});

void test('messages are in our words', async (t) => {
  const missing = await said(t, ['wanting', '--output', 'x']);
  assert.match(missing.stderr, /^stowage: INPUT is not given: stowage wanting INPUT \[options\]\n/);
  const help = await said(t, ['help', 'nonsense']);
  assert.equal(help.code, 2);
  assert.match(help.stderr, /^stowage: unknown command nonsense: there are broken, wanting\n/);
  environment['STOWAGE_LOADER'] = 'foo';
  t.after(() => delete environment['STOWAGE_LOADER']);
  const variable = await said(t, ['wanting', 'x', '--output', 'y']);
  assert.match(
    variable.stderr,
    /^stowage: STOWAGE_LOADER "foo" can't be: expected dind or direct\n/,
  );
});

void test('what begins with a dash and is no help does not show it', async (t) => {
  const dashed = await said(t, ['wanting', 'x', '--output', '-has_journal']);
  assert.equal(dashed.code, 2);
  assert.equal(dashed.stdout, '');
  assert.match(dashed.stderr, /write --output=-has_journal\n/);
  const attached = await said(t, ['wanting', 'x', '--output=-has_journal']);
  assert.equal(attached.code, 0, attached.stderr);
});
