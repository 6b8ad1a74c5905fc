import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { makeImage, makeLayer, noise, writeLayout } from '../rig/image.ts';
import { nodeOf, OTHER_CLOCK, OTHER_NODES } from '../rig/other-node.ts';
import { fileOwner } from '../rig/owner.ts';
import { asRoot, must, PATH_WITH_SBIN, run } from '../rig/process.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** What the direct loader writes depends on the pins alone, and how it writes it needs no rights and no network. */
const owner = fileOwner();
const directory = temporaryTree(owner);
const platform = 'linux/amd64';
const base = await makeLayer({
  'bin/tool': { content: noise(1, 700_000), mode: 0o4755, uid: 3 },
  'etc/name': 'of the base',
});
const images = {
  one: [base, await makeLayer({ 'etc/one': 'one', 'etc/.wh.name': '' })],
  two: [base, await makeLayer({ 'var/two': noise(2, 300_000) }, { gzip: false })],
  three: [await makeLayer({ 'opt/three': noise(3, 1_200_000) })],
};
for (const [name, layers] of Object.entries(images))
  await writeLayout(join(directory, name), await makeImage({ platform, layers }));

const bundle = join(directory, 'bundle.yaml');
const pins = join(directory, 'pins.json');
writeBundle(bundle, Object.keys(images));
const env = { PATH: PATH_WITH_SBIN, HOME: directory, LC_ALL: 'C' };
const inputs = ['-b', bundle, '-p', pins, '--loader', 'direct'];
const store = join(directory, 'store');
await fetch(bundle, store);

function writeBundle(path: string, names: readonly string[]): void {
  const lines = names.map(
    (name) => `  ${name}: { from: "oci:${join(directory, name)}:image", tags: ["same/${name}:1"] }`,
  );
  writeFileSync(path, ['stowage: 1', 'images:', ...lines, ''].join('\n'));
}

async function fetch(from: string, to: string, more: readonly string[] = []): Promise<void> {
  const args = ['-b', from, '-p', pins, '--loader', 'direct', '--platform', platform];
  await must(process.execPath, [STOWAGE, 'fetch', ...args, '-s', to, ...more], { env });
}

interface Way {
  readonly lead?: readonly string[];
  readonly node?: readonly string[];
  readonly store?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Builds in a directory of its own; returns the image. */
async function build(name: string, way: Way = {}): Promise<string> {
  const output = join(directory, 'out', name, 'data.ext4');
  mkdirSync(dirname(output), { recursive: true });
  const [first = '', ...rest] = [
    ...(way.lead ?? []),
    ...(way.node ?? [process.execPath]),
    ...[STOWAGE, 'build', ...inputs, '-s', way.store ?? store, '-o', output, '--no-share'],
  ];
  await must(first, rest, { env: { ...env, ...way.env }, cwd: dirname(output) });
  return output;
}

const plain = await build('plain');

const ways: Readonly<Record<string, () => Promise<Way>>> = {
  'another clock': () => Promise.resolve({ node: [process.execPath, '--import', OTHER_CLOCK] }),
  'another umask, zone and language': () =>
    Promise.resolve({
      lead: ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
      env: { TZ: 'Pacific/Chatham', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' },
    }),
  'one processor': () => Promise.resolve({ lead: ['taskset', '-c', '0'] }),
  'a store elsewhere, filled in another order by one download at a time': async () => {
    const reversed = join(directory, 'reversed.yaml');
    writeBundle(reversed, Object.keys(images).reverse());
    const other = join(directory, 'a', 'further', 'store');
    await fetch(reversed, other, ['--jobs', '1']);
    return { store: other };
  },
  'a copy of the store with other times': () => {
    const copy = join(directory, 'copy');
    cpSync(store, copy, { recursive: true });
    return Promise.resolve({ store: copy });
  },
};

for (const [name, way] of Object.entries(ways))
  void test(`the same bytes with ${name}`, async () => {
    await must('cmp', [plain, await build(name.replaceAll(/\W/g, '-'), await way())]);
  });

for (const version of OTHER_NODES)
  void test(`the same bytes with Node ${version}`, async () => {
    const node = [await nodeOf(version, directory)];
    await must('cmp', [plain, await build(`node-${version}`, { node })]);
  });

void test('it mounts nothing, asks no network and starts nothing but a check', async () => {
  const trace = join(directory, 'trace');
  const calls = 'mount,umount2,move_mount,fsopen,pivot_root,socket,connect,sendto,execve,setns';
  const output = join(directory, 'out', 'traced', 'data.ext4');
  mkdirSync(dirname(output), { recursive: true });
  const args = [STOWAGE, 'build', ...inputs, '-s', store, '-o', output, '--no-share'];
  const [program, argv] = asRoot('strace', [
    ...['-f', '-qq', '-e', 'signal=none', '-e', `trace=${calls}`, '-o', trace],
    ...['env', '-i', 'PATH=/nonexistent', process.execPath, ...args],
  ]);
  const traced = await run(program, argv, { env });
  assert.equal(traced.code, 0, traced.stderr);
  await must('cmp', [plain, output]);
  const made = readFileSync(trace, 'utf8').trimEnd().split('\n');
  const programs = made
    .filter((line) => !line.endsWith('= -1 ENOENT (No such file or directory)'))
    .flatMap((line) => /execve\("([^"]+)"/.exec(line)?.[1] ?? [])
    .map((path) => basename(path));
  // The tracer's own two, and the checker that looks at the image afterwards, where there is one.
  assert.deepEqual(programs.slice(0, 2), ['env', basename(process.execPath)]);
  assert.deepEqual(new Set(programs.slice(2)), new Set(['e2fsck']));
  assert.deepEqual(
    made.filter((line) => !line.includes('execve(')),
    [],
  );
});
