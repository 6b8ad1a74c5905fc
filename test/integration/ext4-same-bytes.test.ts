import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { nodeOf, OTHER_CLOCK, OTHER_NODES } from '../rig/other-node.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

void test('an image has the same bytes whoever writes it, wherever and whenever', async (t) => {
  const parent = temporaryTree(t);
  const program = join(parent, 'write.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('ext4-write-program.ts', import.meta.url))],
    ...{ bundle: true, platform: 'node', format: 'esm', outfile: program, logLevel: 'silent' },
  });
  const sumOf = async (
    name: string,
    lead: readonly string[],
    env: Readonly<Record<string, string>> = {},
    node: readonly string[] = [process.execPath],
  ): Promise<string> => {
    const directory = join(parent, name);
    mkdirSync(directory);
    chmodSync(directory, 0o777);
    const image = join(directory, 'image');
    const [first, ...rest] = [...lead, ...node, program, image];
    const start = lead[0] === 'setpriv' ? mustAsRoot : must;
    await start(first, rest, { env: { PATH: process.env['PATH'], ...env }, cwd: directory });
    return createHash('sha256').update(readFileSync(image)).digest('hex');
  };
  const plain = await sumOf('plain', []);
  assert.equal(
    await sumOf('other', ['sh', '-c', 'umask 077; exec "$@"', 'sh'], {
      ...{ TZ: 'Pacific/Chatham', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8', HOME: '/nowhere' },
      SOURCE_DATE_EPOCH: '1',
    }),
    plain,
  );
  assert.equal(
    await sumOf('user', ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']),
    plain,
  );
  assert.equal(await sumOf('clock', [], {}, [process.execPath, '--import', OTHER_CLOCK]), plain);
  for (const version of OTHER_NODES)
    assert.equal(await sumOf(`by-${version}`, [], {}, [await nodeOf(version, parent)]), plain);
});
