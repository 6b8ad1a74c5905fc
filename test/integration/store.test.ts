import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { open, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { startEngine } from '../rig/engine.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { mountLoop } from '../rig/loop-mount.ts';
import type { Owner } from '../rig/owner.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot, waitFor } from '../rig/process.ts';
import type { Outcome } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { dindImage } from '../rig/dind-image.ts';
import { blobGets } from './fetch-fixture.ts';

/** The store as its users meet it: `stowage store …`, and what goes wrong with disks. */
const owner = fileOwner();
const registry = await startRegistry(owner);
const MB = 1_000_000;
const base = await makeLayer({ base: noise(1, 20 * MB) });
const one = await makeImage({ platform: 'linux/amd64', layers: [base, { one: noise(2, MB) }] });
const two = await makeImage({ platform: 'linux/amd64', layers: [base, { two: noise(3, 8 * MB) }] });
await push(registry, 'home/one:1', makeIndex({ 'linux/amd64': one }));
await push(registry, 'home/two:1', two);
// Only a build runs the loader's image; everything else fetches a small one.
await push(
  registry,
  'library/none:1',
  await makeImage({ platform: 'linux/amd64', layers: [{ no: 'engine' }] }),
);
const dind = await dindImage();
await pushDind(registry, dind, 'library/docker:28.5.2-dind');
const dir = temporaryTree(owner);

function bundleOf(
  name: string,
  images: readonly string[],
  { at = registry.host, loader = 'none:1' }: Places,
): string {
  const file = join(dir, `${name}.yaml`);
  writeFileSync(
    file,
    `stowage: 1
engine: { dind: 'docker://${registry.host}/library/${loader}' }
images:
${images.map((image) => `  ${image}: { from: 'docker://${at}/home/${image}:1' }`).join('\n')}
files:
  hello.txt: { text: 'hello' }
`,
  );
  return file;
}

interface Places {
  /** The host of the images. */
  readonly at?: string;
  readonly loader?: string;
}

/** One bundle with its pins, and every verb on it. */
async function scene(t: TestContext, name: string, images: readonly string[], places: Places = {}) {
  const inputs = ['-b', bundleOf(name, images, places), '-p', join(dir, `${name}.json`)];
  const pinned = await runStowage(t, ['pin', ...inputs, '--platform', 'linux/amd64']);
  assert.equal(pinned.code, 0, pinned.stderr);
  return {
    pins: join(dir, `${name}.json`),
    fetch: (store: string, ...more: string[]): Promise<Outcome> =>
      runStowage(t, ['fetch', ...inputs, '-s', store, ...more]),
    fetchArguments: (store: string) => ['fetch', ...inputs, '-s', store],
    build: (store: string, output: string, engine: Awaited<ReturnType<typeof startEngine>>) =>
      runStowage(t, ['build', ...inputs, '-s', store, '-o', output], { engine }),
  };
}

async function succeed(run: Promise<Outcome>): Promise<Outcome> {
  const outcome = await run;
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

async function clean(t: TestContext, store: string): Promise<void> {
  await succeed(runStowage(t, ['store', 'verify', '-s', store]));
  assert.deepEqual(readdirSync(join(store, 'staging')), []);
}

function blobPath(store: string, digest: string): string {
  return join(store, 'blobs', 'sha256', digest.slice('sha256:'.length));
}

/** A file system of its own, of that many megabytes, as a file in `at`. */
async function mountImage(t: Owner, at: string, megabytes: number) {
  const image = `${at}.ext4`;
  await must('truncate', ['--size', `${megabytes}M`, image]);
  await must('mke2fs', ['-q', '-t', 'ext4', '-m', '0', image]);
  await must('mkdir', ['-p', at]);
  let end: (() => Promise<void>) | undefined;
  const mount = async (): Promise<void> => {
    end = await mountLoop(t, image, at);
    await mustAsRoot('chown', [`${process.getuid?.() ?? 0}`, at]);
  };
  await mount();
  return { image, mount, unmount: async () => end?.() };
}

test('ls, prune, export and import, from a registry to a machine without network', async (t) => {
  const store = join(dir, 'whole');
  const first = await scene(t, 'first', ['one']);
  const both = await scene(t, 'both', ['one', 'two']);
  await succeed(both.fetch(store));

  const table = await succeed(runStowage(t, ['store', 'ls', '-s', store]));
  assert.match(table.stdout, /^NAME +DIGEST +PLATFORM +SIZE +SHARED +LAST USE$/m);
  const line = new RegExp(
    `^${registry.host}/home/one:1 +${one.descriptor.digest.slice(0, 19)} +linux/amd64 +21.0 MB +20.0 MB +20`,
    'm',
  );
  assert.match(table.stdout, line);
  const listed = JSON.parse(
    (await succeed(runStowage(t, ['store', 'ls', '-s', store, '--json']))).stdout,
  ) as { images: { digest: string; shared: number }[]; files: unknown[] };
  assert.equal(listed.images.length, 3);
  assert.equal(listed.files.length, 1);

  const file = join(dir, 'store.tar');
  await succeed(runStowage(t, ['store', 'export', '-s', store, '-o', file, '-p', first.pins]));
  const carried = join(dir, 'carried');
  const imported = await succeed(runStowage(t, ['store', 'import', '-s', carried, file]));
  assert.match(imported.stdout, /carried: 2 images/);
  const again = await succeed(runStowage(t, ['store', 'import', '-s', carried, file]));
  assert.match(again.stdout, /all of 2 images and their files are there already/);
  await clean(t, carried);
  await registry.forget();
  await succeed(first.fetch(carried, '--offline'));
  assert.deepEqual(await registry.requests(), []);
  const lacks = await both.fetch(carried, '--offline');
  assert.equal(lacks.code, 3, lacks.stderr);

  const prune = ['store', 'prune', '-s', store, '--keep', first.pins];
  const spared = await succeed(runStowage(t, prune));
  assert.match(spared.stdout, /0 images, 0 files and 0 blobs removed, 0 B; 1 image kept/);
  // As if nobody had used anything for forty days.
  const then = Date.now() / 1000 - 40 * 86_400;
  for (const name of readdirSync(join(store, 'verified', 'blobs')))
    await utimes(join(store, 'verified', 'blobs', name), then, then);
  const said = await succeed(runStowage(t, [...prune, '--older-than', '30d', '-n']));
  assert.match(said.stdout, /home\/two:1@sha256:[0-9a-f]{64}, last used 20/);
  assert.match(said.stdout, /1 image, 0 files and 3 blobs would be removed, 8\.0 MB/);
  assert.ok(existsSync(blobPath(store, two.descriptor.digest)));
  await succeed(runStowage(t, [...prune, '--older-than', '30d']));
  assert.ok(!existsSync(blobPath(store, two.descriptor.digest)));
  await clean(t, store);
  await succeed(first.fetch(store, '--offline'));
  // The warm fetch was a use.
  const after = await succeed(runStowage(t, ['store', 'prune', '-s', store, '--older-than', '1d']));
  assert.match(after.stdout, /0 images.*removed, 0 B/);
});

test('what a fetch found is there when it ends, whatever prune and verify do meanwhile', async (t) => {
  const first = await scene(t, 'old', ['one']);
  const both = await scene(t, 'new', ['one', 'two']);
  for (let round = 0; round < rounds(4, 50); round++) {
    const store = join(temporaryTree(t), 'store');
    await succeed(first.fetch(store));
    const then = Date.now() / 1000 - 40 * 86_400;
    for (const shelf of ['blobs', 'files'])
      for (const name of readdirSync(join(store, 'verified', shelf)))
        await utimes(join(store, 'verified', shelf, name), then, then);
    const after = new Promise((resolve) => setTimeout(resolve, round * 60));
    await Promise.all([
      after.then(() => succeed(both.fetch(store))),
      succeed(runStowage(t, ['store', 'prune', '-s', store, '--older-than', '30d'])),
      succeed(runStowage(t, ['store', 'verify', '-s', store, '--repair'])),
    ]);
    await clean(t, store);
    await succeed(both.fetch(store, '--offline'));
  }
});

test('a store on a file system that is full: code 7, what is needed, and on from there', async (t) => {
  const mount = join(temporaryTree(t), 'small');
  await mountImage(t, mount, 64);
  const store = join(mount, 'store');
  const ballast = join(mount, 'ballast');
  const proxy = await startFaultProxy(t, { upstream: registry.url });
  const small = await scene(t, 'small', ['one']);
  const large = await scene(t, 'large', ['one', 'two'], { at: proxy.host });
  await succeed(small.fetch(store));
  const fill = async (free: number): Promise<void> => {
    const { bavail, bsize } = statfsSync(mount);
    await must('fallocate', ['--length', String(bavail * bsize - free), ballast]);
  };
  const layer = two.layers[1]?.digest ?? '';

  // Known before the first byte.
  await fill(4 * MB);
  proxy.forget();
  const early = await large.fetch(store);
  assert.equal(early.code, 7, early.stderr);
  assert.match(
    early.stderr,
    /no space left in .*: 8\.0 MB are needed, [34]\.\d MB there are\n {2}hint: /,
  );
  assert.deepEqual(proxy.requests, []);
  await clean(t, store);

  // Or somebody else fills it meanwhile.
  await rm(ballast);
  proxy.setFaults([{ kind: 'delay', match: new RegExp(layer), milliseconds: 2000 }]);
  const running = startStowage(t, large.fetchArguments(store));
  await waitFor('the layer is asked for', 20_000, () =>
    proxy.requests.some(({ path }) => path.includes(layer)) ? true : undefined,
  );
  await fill(4 * MB);
  const late = await running.ended;
  assert.equal(late.code, 7, late.stderr);
  assert.match(late.stderr, /no space left in .*: 8\.0 MB are needed/);
  await clean(t, store);

  await rm(ballast);
  proxy.setFaults([]);
  proxy.forget();
  await succeed(large.fetch(store));
  const asked = proxy.requests.flatMap(({ path }) => /sha256:[0-9a-f]{64}$/.exec(path) ?? []);
  assert.ok(asked.includes(layer));
  for (const { digest } of one.layers) assert.ok(!asked.includes(digest), 'that was there');
  await clean(t, store);

  // An import that does not fit says so, too.
  const file = join(dir, 'full.tar');
  await succeed(runStowage(t, ['store', 'export', '-s', store, '-o', file]));
  await rm(store, { recursive: true });
  await fill(20 * MB);
  const imported = await runStowage(t, ['store', 'import', '-s', store, file]);
  assert.equal(imported.code, 7, imported.stderr);
  assert.match(imported.stderr, /29\.\d MB are needed, \d+\.\d MB there are/);
  await clean(t, store);
  await rm(ballast);
  await succeed(runStowage(t, ['store', 'import', '-s', store, file]));
  await succeed(large.fetch(store, '--offline'));
});

test('one flipped bit: the build ends with 3, names image and remedy, and leaves no output', async (t) => {
  const store = join(dir, 'flipped');
  const { fetch, build } = await scene(t, 'flipped', ['one', 'two'], {
    loader: 'docker:28.5.2-dind',
  });
  await succeed(fetch(store));
  const path = blobPath(store, two.layers[1]?.digest ?? '');
  chmodSync(path, 0o644);
  const bytes = readFileSync(path);
  bytes[4 * MB] = (bytes[4 * MB] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const outputs = temporaryTree(t);
  const engine = await startEngine(t, { holding: dind });
  const built = await build(store, join(outputs, 'data.ext4'), engine);
  assert.equal(built.code, 3, built.stderr);
  assert.match(built.stderr, /two: sha256:[0-9a-f]{64} is not what its name says/);
  assert.match(built.stderr, /hint: run `stowage fetch/);
  assert.deepEqual(readdirSync(outputs), []);

  // Its times tell fetch: it hashes that one, and downloads nothing else.
  await registry.forget();
  await succeed(fetch(store));
  const gets = blobGets(await registry.requests());
  assert.deepEqual(
    [...gets.keys()].filter((digest) => digest !== two.config.digest),
    [two.layers[1]?.digest],
  );
  await succeed(build(store, join(outputs, 'data.ext4'), engine));
});

test('rot that changed neither size nor times: verify finds it, --repair and fetch mend it', async (t) => {
  const mount = join(temporaryTree(t), 'disk');
  const disk = await mountImage(t, mount, 128);
  const store = join(mount, 'store');
  const { fetch } = await scene(t, 'rot', ['one', 'two']);
  await succeed(fetch(store));
  await disk.unmount();
  // A bit of the disk itself, as disks lose them: nobody wrote to the file.
  const layer = Buffer.from(two.blobs.get(two.layers[1]?.digest ?? '') ?? []);
  const handle = await open(disk.image, 'r+');
  const whole = readFileSync(disk.image);
  const at = whole.indexOf(layer.subarray(1_000_000, 1_000_512));
  assert.ok(at > 0);
  await handle.write(Buffer.of((whole[at] ?? 0) ^ 1), 0, 1, at);
  await handle.close();
  await disk.mount();

  await registry.forget();
  await succeed(fetch(store));
  assert.deepEqual(await registry.requests(), [], 'nothing tells fetch of it');
  const found = await runStowage(t, ['store', 'verify', '-s', store]);
  assert.equal(found.code, 3, found.stderr);
  const digest = two.layers[1]?.digest ?? '';
  assert.match(
    found.stderr,
    new RegExp(
      `blob ${digest} is not what its name says; used by ${registry.host}/home/two:1$`,
      'm',
    ),
  );
  assert.match(found.stderr, /hint: run `stowage store verify --repair/);
  const repaired = await succeed(runStowage(t, ['store', 'verify', '--repair', '-s', store]));
  assert.match(repaired.stdout, /\(removed\)/);
  await clean(t, store);
  await succeed(fetch(store));
  assert.ok(blobGets(await registry.requests()).has(digest));
  await clean(t, store);
});

test('HAOS downloads: what can be verified is taken, the rest is named', async (t) => {
  const downloads = temporaryTree(t);
  const { pins, fetch } = await scene(t, 'haos', ['one', 'two']);
  const copy = async (kind: string, name: string, digest: string, to: string): Promise<void> => {
    const file = join(downloads, `${to}@sha256_${digest.slice(7)}.tar`);
    await must('skopeo', [
      ...['--insecure-policy', 'copy', '-q', '--src-tls-verify=false', '--preserve-digests'],
      `docker://${registry.host}/home/${name}`,
      `${kind}:${file}:${registry.host}/home/${name}`,
    ]);
  };
  const index = makeIndex({ 'linux/amd64': one }).descriptor.digest;
  await copy('oci-archive', 'one:1', index, 'home_one_1');
  await copy('oci-archive', 'two:1', two.descriptor.digest, 'home_two_1');
  const good = readdirSync(downloads).find((name) => name.startsWith('home_two')) ?? '';
  writeFileSync(join(downloads, 'home_two_1.lock'), '');

  // Without pins nobody can tell what an index's digest stands for.
  const store = join(temporaryTree(t), 'store');
  const partial = await runStowage(t, ['store', 'import', '-s', store, downloads]);
  assert.equal(partial.code, 3, partial.stderr);
  assert.match(partial.stderr, /1 imported, 1 skipped:\n {2}home_one_1@sha256_[0-9a-f]{64}\.tar: /);
  const taken = await succeed(
    runStowage(t, ['store', 'import', '-s', store, downloads, '-p', pins]),
  );
  assert.match(taken.stdout, /2 archives/);
  const again = await succeed(
    runStowage(t, ['store', 'import', '-s', store, downloads, '-p', pins]),
  );
  assert.match(again.stdout, /2 archives, 0 B that it did not have/);
  await clean(t, store);
  await registry.forget();
  await succeed(fetch(store));
  const asked = blobGets(await registry.requests());
  for (const { digest } of [...one.layers, ...two.layers]) assert.ok(!asked.has(digest));

  // What a killed download, a disk and an older version leave there.
  const bytes = readFileSync(join(downloads, good));
  const broken = temporaryTree(t);
  const as = (letter: string, hex = good.slice(-68, -4)): string =>
    join(broken, `${letter}@sha256_${hex}.tar`);
  writeFileSync(as('cut'), bytes.subarray(0, bytes.length >> 1));
  const flipped = Buffer.from(bytes);
  flipped[MB] = (flipped[MB] ?? 0) ^ 1;
  writeFileSync(as('flipped'), flipped);
  writeFileSync(as('other', '0'.repeat(64)), bytes);
  writeFileSync(join(broken, 'nameless.tar'), bytes);
  await must('skopeo', [
    ...['--insecure-policy', 'copy', '-q', '--src-tls-verify=false'],
    ...[`docker://${registry.host}/home/one:1`, `docker-archive:${as('docker')}`],
  ]);
  const other = join(temporaryTree(t), 'store');
  const none = await runStowage(t, ['store', 'import', '-s', other, broken]);
  assert.equal(none.code, 3, none.stderr);
  for (const reason of [
    /^ {2}cut@.*: it ends too early$/m,
    /^ {2}flipped@.*: its blob sha256:[0-9a-f]{64} is not what its name says$/m,
    /^ {2}other@.*: its image is sha256:.* its layers were taken$/m,
    /^ {2}nameless\.tar: there is no digest in its name$/m,
    /^ {2}docker@.*: it is a docker archive/m,
  ])
    assert.match(none.stderr, reason);
  await clean(t, other);
  assert.deepEqual(readdirSync(join(other, 'images')), []);
});

test('what is no store, or not ours to write, is refused with its code, and is as it was', async (t) => {
  const place = temporaryTree(t);
  const file = join(place, 'file');
  writeFileSync(file, '');
  const newer = join(place, 'newer');
  await must('mkdir', [newer, join(place, 'photos'), join(place, 'empty')]);
  writeFileSync(join(newer, 'stowage-store.json'), '{"format":2}');
  writeFileSync(join(place, 'photos', 'photo.jpg'), '');
  const before = await must('find', [place, '-printf', '%P %s\\n']);
  for (const [store, message] of [
    [file, /it is not a directory/],
    [newer, /format 2, and this stowage knows 1; use the newer stowage/],
    [join(place, 'photos'), /holds other things/],
    [join(place, 'empty'), /there is nothing in it/],
    [join(place, 'absent'), /there is nothing in it/],
  ] as const)
    for (const verb of [['ls'], ['verify'], ['prune'], ['export', '-o', join(place, 'x.tar')]]) {
      const refused = await runStowage(t, ['store', ...verb, '-s', store]);
      assert.equal(refused.code, 2, refused.stderr);
      assert.match(refused.stderr, message);
    }
  for (const args of [
    ['prune', '-s', newer, '--older-than', 'soon'],
    ['prune', '-s', newer, '--keep', join(place, 'absent.json')],
    ['import', '-s', join(place, 'absent'), join(place, 'absent.tar')],
    ['import', '-s', join(place, 'absent'), join(place, 'photos')],
    ['tidy'],
    [],
  ]) {
    const refused = await runStowage(t, ['store', ...args]);
    assert.equal(refused.code, 2, refused.stderr);
  }
  assert.equal(await must('find', [place, '-printf', '%P %s\\n']), before);

  // A store that somebody else may only read.
  const store = join(place, 'store');
  const { fetch } = await scene(t, 'readonly', ['one']);
  await succeed(fetch(store));
  const user = await unprivilegedUser(t);
  const exported = join(user.home, 'store.tar');
  for (const [args, code] of [
    [['ls'], 0],
    [['verify'], 0],
    [['export', '-o', exported], 0],
    [['prune', '-n', '--older-than', '0s'], 0],
    [['prune', '--older-than', '0s'], 6],
    [['verify', '--repair'], 6],
  ] as const) {
    const outcome = await runStowage(t, ['store', ...args, '-s', store], { user });
    assert.equal(outcome.code, code, `${args.join(' ')}: ${outcome.stderr}`);
  }
  await rm(blobPath(store, one.config.digest));
  await rename(exported, join(place, 'store.tar'));
  const from = join(place, 'store.tar');
  const denied = await runStowage(t, ['store', 'import', '-s', store, from], { user });
  assert.equal(denied.code, 6, denied.stderr);
  await succeed(runStowage(t, ['store', 'import', '-s', store, from]));
  await clean(t, store);
});
