import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { must, mustAsRoot } from '../rig/process.ts';
import { rounds } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** A clock that is decades off, for whoever looks at it. */
const OTHER_CLOCK = `data:text/javascript,${encodeURIComponent(`
  const real = Date.now;
  const now = () => real() - 20 * 365 * 86400e3;
  globalThis.Date = class extends Date {
    constructor(...given) { given.length === 0 ? super(now()) : super(...given); }
    static now() { return now(); }
  };
`)}`;

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
  for (const version of NODES) {
    const place = join(parent, `node-${version}`);
    await must('npm', ['install', '--silent', '--no-save', '--prefix', place, `node@${version}`]);
    const node = join(place, 'node_modules', 'node', 'bin', 'node');
    assert.match(await must(node, ['--version']), new RegExp(`^v${version}\\.`));
    assert.equal(await sumOf(`by-${version}`, [], {}, [node]), plain);
  }
});

/** Fetched as packages, so in `make soak` alone. */
const NODES: readonly number[] = Array.from({ length: rounds(0, 3) }, (_, i) => 20 + 2 * i);
