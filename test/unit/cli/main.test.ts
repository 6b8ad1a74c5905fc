import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { defineCommand } from '../../../src/cli/command.ts';
import { main } from '../../../src/cli/main.ts';

/** A verb with a bug: what no input can bring about must be shown all the same. */
const broken = defineCommand({
  name: 'broken',
  describe: 'throws',
  options: {},
  run: () => Promise.reject(new TypeError('undefined is no layer')),
});

async function said(
  t: TestContext,
  argv: readonly string[],
): Promise<{ code: number; stderr: string }> {
  let stderr = '';
  const write = t.mock.method(process.stderr, 'write', (text: string) => {
    stderr += text;
    return true;
  });
  const code = await main(argv, [broken]);
  write.mock.restore();
  return { code, stderr };
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
  assert.match(none.stderr, /^stowage: unknown command nonsense: there are broken\n/);
});

void test('no verb, and one that there is not, are exit code 2', async (t) => {
  for (const argv of [[], ['nonsense']]) {
    const { code, stderr } = await said(t, argv);
    assert.equal(code, 2);
    assert.match(stderr, /^stowage: .+\n {2}hint: stowage --help, stowage COMMAND --help\n$/);
  }
});
