import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { must } from './rig/process.ts';
import { temporaryTree } from './rig/temporary-tree.ts';

/** Files of tests that note when they run, and wait for another where a name is given. */
const FILES: Readonly<Record<string, string>> = {
  ...{ a1: 'b1', a2: '', b1: 'a1', b2: '' },
  ...{ c1: '', ac: '' },
};

test('files of one kind run one after the other, others beside them, and each is told of as a whole', async (t) => {
  const dir = temporaryTree(t);
  mkdirSync(join(dir, 'on'));
  for (const [name, other] of Object.entries(FILES))
    writeFileSync(
      join(dir, `${name}.test.mjs`),
      `import { existsSync, rmSync, writeFileSync, appendFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
for (const part of ['first', 'second'])
  test('${name} ' + part, async () => {
    const on = ${JSON.stringify(join(dir, 'on'))};
    writeFileSync(on + '/${name}', '');
    const until = Date.now() + 10_000;
    while ('${other}' !== '' && part === 'first' && !existsSync(on + '/${other}')) {
      if (Date.now() > until) throw new Error('it runs alone');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    appendFileSync(on + '/../seen', readdirSync(on).join(' ') + '\\n');
    // The other one is to see it.
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (part === 'second') rmSync(on + '/${name}');
  });
`,
    );
  const program = join(dir, 'program.mts');
  const rig = pathToFileURL(join(import.meta.dirname, 'rig', 'side-by-side.ts')).href;
  writeFileSync(
    program,
    `import { sideBySide } from '${rig}';
const files = ${JSON.stringify(Object.keys(FILES).map((name) => join(dir, `${name}.test.mjs`)))};
const kindsOf = (file) => ['a', 'c'].filter((kind) => file.slice(-11, -9).includes(kind));
const ended = (file) => [{ type: 'ended', data: { name: file.slice(-11, -9) } }];
for await (const { type, data } of sideBySide(files, { concurrency: 2, timeout: 60_000, kindsOf }, ended))
  if (['test:pass', 'test:fail', 'ended'].includes(type)) console.log(type, data.name);
`,
  );
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const said = await must(process.execPath, ['--import', import.meta.resolve('tsx'), program], {
    env,
  });
  const expected = Object.keys(FILES).flatMap((name) => [
    ...['first', 'second'].map((part) => `test:pass ${name} ${part}`),
    `ended ${name}`,
  ]);
  assert.deepEqual(said.trim().split('\n').toSorted(), expected.toSorted());
  const order = said
    .trim()
    .split('\n')
    .map((line) => / ([abc][\dc])/.exec(line)?.[1]);
  assert.deepEqual(order.filter((name, i) => name !== order[i - 1]).length, 6, said);
  const seen = readFileSync(join(dir, 'seen'), 'utf8').trim().split('\n');
  for (const [one, other] of [
    ['a1', 'a2'],
    ['a1', 'ac'],
    ['a2', 'ac'],
    ['c1', 'ac'],
  ] as const)
    assert.ok(!seen.some((names) => names.includes(one) && names.includes(other)), seen.join());
  assert.ok(seen.includes('a1 b1'), seen.join());
});
