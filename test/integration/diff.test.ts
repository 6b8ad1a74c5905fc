import assert from 'node:assert/strict';
import { chmodSync, closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import { startDevice } from '../rig/device-engine.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, PATH_WITH_SBIN } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import type { StowageOptions } from '../rig/stowage.ts';
import { runStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';

/** What inspect, diff and verify say of images that the loaders built and that a real engine has run on. */
const owner = fileOwner();
const dir = temporaryTree(owner);
chmodSync(dir, 0o755);
const registry = await startRegistry(owner);
const dind = await dindImage();
await pushDind(registry, dind, 'library/docker:28.5.2-dind');
const platform = 'linux/amd64';
const CAPABILITY = `\x01\0\0\x02\0\x20${'\0'.repeat(14)}`;
const base = await makeLayer({
  'bin/': { type: 'directory' },
  'bin/busybox': { content: readFileSync(dind.busybox), mode: 0o755 },
  'bin/sh': { type: 'link', target: 'bin/busybox', mode: 0o755 },
  'bin/able': { content: 'able', mode: 0o755, xattrs: { 'security.capability': CAPABILITY } },
  'etc/open/': { type: 'directory', mode: 0o711, uid: 7, gid: 8, mtime: 1_500_000_000 },
  'etc/open/name': 'of the base',
  'etc/gone': 'not for long',
  'etc/hidden/one': 'below',
  lib: { type: 'symlink', target: 'usr/lib' },
  'usr/lib/large': noise(42, 3_000_000),
  'run/pipe': { type: 'fifo', mode: 0o622 },
  'dev/null': { type: 'character-device', mode: 0o666, device: { major: 1, minor: 3 } },
});
const above = {
  'etc/open/more': { content: 'more', uid: 1000, mode: 0o4750 },
  'etc/.wh.gone': { content: '', uid: 3 },
  'etc/hidden/.wh..wh..opq': '',
  'etc/hidden/two': 'above',
  app: 'version 1',
};
const image = (layer: typeof above) => makeImage({ platform, layers: [base, layer] });
await push(registry, 'diff/app:1', await image(above));
await push(registry, 'diff/app:2', await image({ ...above, app: 'version 2' }));
const other = await makeLayer({ other: noise(43, 200_000) }, { gzip: false });
await push(registry, 'diff/other:1', await makeImage({ platform, layers: [base, other] }));
const store = join(dir, 'store');
const engine = await startEngine(owner, { holding: dind });

/** A bundle with that version of the app, pinned and fetched. */
async function inputsOf(version: string): Promise<string[]> {
  const bundle = join(dir, `${version}.yaml`);
  writeFileSync(
    bundle,
    `stowage: 1
partition: { label: diff-data, headroom: 20M }
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  app: { from: 'docker://${registry.host}/diff/app:${version}', tags: ['app:now'] }
  other: { from: 'docker://${registry.host}/diff/other:1' }
files:
  supervisor/config.json: { json: { a: 1 }, mode: '0600' }
`,
  );
  const inputs = ['-b', bundle, '-p', join(dir, `${version}.json`), '-s', store];
  const env = { PATH: PATH_WITH_SBIN, HOME: dir, LC_ALL: 'C' };
  await must(process.execPath, [STOWAGE, 'fetch', ...inputs, '--platform', platform], { env });
  return inputs;
}

const first = await inputsOf('1');
const second = await inputsOf('2');
const pins = join(dir, '1.json');
const [byEngine, direct, changed] = ['engine', 'direct', 'changed'].map((name) =>
  join(dir, `${name}.ext4`),
) as [string, string, string];
/** There is no engine for these verbs. */
const ALONE: StowageOptions = { env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' } };

async function says(
  t: TestContext,
  code: number,
  args: readonly string[],
  options: StowageOptions = ALONE,
): Promise<string> {
  const ended = await runStowage(t, args, options);
  assert.equal(ended.code, code, `${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

void test('set-up: the same pins built by an engine and without one', async (t) => {
  const build = ['build', '--no-share', ...first];
  await says(t, 0, [...build, '-o', byEngine], { engine });
  await says(t, 0, [...build, '--loader', 'direct', '-o', direct]);
  const newer = ['build', '--no-share', ...second, '--loader', 'direct', '-o', changed];
  await says(t, 0, newer);
});

void test('both are as pinned, file by file', async (t) => {
  for (const built of [byEngine, direct]) {
    const text = await says(t, 0, ['verify', built, '-p', pins]);
    assert.match(text, /3 snapshots with \d\d files and 1 file are as pinned/);
  }
});

void test('two builds by two loaders differ in nothing but what an engine makes itself', async (t) => {
  const text = await says(t, 0, ['diff', byEngine, direct, '--all']);
  assert.match(text, /^equal$/m);
  assert.match(text, /images: 2 the same, 0 moved, 0 added, 0 removed$/m);
  const own = /^made by the engine itself, which is no difference: ([^]*)\nequal$/m.exec(text);
  const lines = own?.[1]?.split('\n').slice(1) ?? [];
  const known = /^ {2}(?:~ docker: mode 07\d\d → 07\d\d|[-+] docker\/\S+ \(directory\))$/;
  for (const line of lines) assert.match(line, known);
});

void test('one file apart is one file', async (t) => {
  const text = await says(t, 8, ['diff', direct, changed]);
  const files = text.split('\n').filter((line) => /^\s*[-+~] (?!image|tag|sha256:)/.test(line));
  assert.deepEqual(files, ['    ~ app: content 9 bytes → others from byte 8 on']);
  assert.match(text, /^~ image docker.io\/library\/app:now: sha256:\w+ → sha256:\w+/m);
  assert.match(text, /^- tag \S+\/diff\/app:1 [^]*^\+ tag \S+\/diff\/app:2 /m);
  const json = JSON.parse(await says(t, 8, ['diff', byEngine, changed, '--json'])) as {
    readonly equal: boolean;
    readonly moved: readonly { files: { listed: readonly { path: string }[] } }[];
  };
  assert.equal(json.equal, false);
  assert.deepEqual(
    json.moved.flatMap(({ files }) => files.listed.map(({ path }) => path)),
    ['app'],
  );
});

void test('nobody sees what is in them, and in the store and the pins', async (t) => {
  const user = await unprivilegedUser(t);
  const options = { ...ALONE, user };
  const text = await says(t, 0, ['inspect', byEngine], options);
  assert.match(text, /data image, 2 images, 3 layers/);
  assert.match(text, /label diff-data, UUID /);
  assert.match(text, /store containerd in docker, schema 4 \(containerd 2\), 3 layers unpacked/);
  assert.match(text, /supervisor\/config\.json +0600/);
  const sizes = JSON.parse(await says(t, 0, ['inspect', direct, '--json'], options)) as {
    readonly images: readonly { readonly sizes: { readonly onDisk: number } }[];
  };
  for (const { sizes: size } of sizes.images) assert.ok(size.onDisk > 3_000_000);
  await must('chmod', ['-R', 'a+rX', store]);
  assert.match(await says(t, 0, ['inspect', store], options), /store, 4 images/);
  assert.match(await says(t, 0, ['inspect', pins], options), /pins, 2 images/);
  assert.match(await says(t, 0, ['diff', pins, direct], options), /^equal$/m);
  assert.match(await says(t, 8, ['diff', pins, changed], options), /pins have digests alone/);
});

void test('archives of skopeo and of a real engine hold the same', async (t) => {
  const archives = temporaryTree(t);
  const source = `docker://${registry.host}/diff/app:1`;
  const oci = join(archives, 'oci.tar');
  const docker = join(archives, 'docker.tar');
  const tls = '--src-tls-verify=false';
  await must('skopeo', ['copy', '-q', tls, source, `oci-archive:${oci}:example.org/app:1`]);
  await must('skopeo', ['copy', '-q', tls, source, `docker-archive:${docker}:example.org/app:1`]);
  const device = await startDevice(t, byEngine, { engine, dind });
  const saved = join(archives, 'saved.tar');
  const said = await device.docker(['save', '-o', saved, 'app:now']);
  assert.equal(said.code, 0, said.stderr);
  assert.match(await says(t, 0, ['diff', oci, docker]), /^equal$/m);
  for (const archive of [oci, docker]) {
    const text = await says(t, 8, ['diff', archive, saved]);
    assert.match(text, /images: 1 the same, .*; 2 tags alone differ$/m);
  }
  assert.match(await says(t, 0, ['inspect', docker]), /docker archive, 1 image, 2 layers/);
  assert.match(await says(t, 0, ['inspect', saved]), /OCI archive, 1 image, 2 layers/);
});

void test('an image on which an engine has run passes, and what is new is listed', async (t) => {
  for (const built of [byEngine, direct]) {
    const device = await startDevice(t, built, { engine, dind });
    const partition = join(dirname(device.partition), 'data.ext4');
    const run = await device.docker([
      ...['run', '--name', 'kept', '--pull', 'never', '--network', 'none', 'app:now'],
      ...['/bin/busybox', 'sh', '-c', 'echo changed > /app; echo it runs'],
    ]);
    assert.match(run.stdout, /it runs/, run.stderr);
    const committed = await device.docker(['commit', 'kept', 'mine:1']);
    assert.equal(committed.code, 0, committed.stderr);
    await device.stop();
    const text = await says(t, 0, ['verify', partition, '-p', pins, '--used']);
    assert.match(text, /are as pinned\nnew since it was built:\n/);
    assert.match(text, /^ {2}image docker\.io\/library\/mine:1 is not pinned/m);
    assert.match(text, /^ {2}docker\/containers is the engine's$/m);
    assert.match(text, /^ {2}snapshot sha256:\w+ belongs to no pinned image$/m);
    await says(t, 3, ['verify', partition, '-p', pins]);
    const difference = await says(t, 8, ['diff', built, partition]);
    assert.match(difference, /^\+ image docker\.io\/library\/mine:1 /m);
    assert.doesNotMatch(difference, /unpacked layer|content of blob/);
  }
});

void test('the unpacked layers of overlay2 are compared with their records', async (t) => {
  const images = temporaryTree(t);
  const [theirs, ours] = [join(images, 'theirs.ext4'), join(images, 'ours.ext4')];
  const build = ['build', '--no-share', '--engine-store', 'overlay2', ...first];
  await says(t, 0, [...build, '-o', theirs], { engine });
  await says(t, 0, [...build, '--loader', 'direct', '-o', ours]);
  for (const built of [theirs, ours])
    assert.match(
      await says(t, 0, ['verify', built, '-p', pins]),
      /3 snapshots with \d\d files and 1 file are as pinned/,
    );
  assert.match(await says(t, 0, ['diff', theirs, ours]), /^equal$/m);
  const find = async (name: string): Promise<string> => {
    const listed = await must('debugfs', ['-R', 'ls -p /docker/overlay2', ours]);
    for (const [, id = ''] of listed.matchAll(/\/([0-9a-f]{64})\/\//g)) {
      const stat = await must('debugfs', ['-R', `stat /docker/overlay2/${id}/diff/${name}`, ours]);
      if (stat.includes('Inode:')) return `/docker/overlay2/${id}/diff/${name}`;
    }
    throw new Error(`no ${name}`);
  };
  const changes = [
    [
      `sif ${await find('etc/open/more')} mode 0100644`,
      'etc/open/more has mode 0644 instead of 4750',
    ],
    [`sif ${await find('app')} uid 5`, 'app belongs to 5:0 instead of 0:0'],
    [`rm ${await find('usr/lib/large')}`, 'usr/lib/large is missing'],
  ] as const;
  const blocks = await must('debugfs', ['-R', `blocks ${await find('other')}`, ours]);
  for (const [command] of changes) await must('debugfs', ['-w', '-R', command, ours]);
  const file = openSync(ours, 'r+');
  writeSync(file, 'x', Number(blocks.trim().split(' ')[0]) * 4096 + 7);
  closeSync(file);
  const ended = await runStowage(t, ['verify', ours, '-p', pins], ALONE);
  assert.equal(ended.code, 3, ended.stderr);
  for (const [, finding] of [...changes, ['', 'other has other bytes'] as const])
    assert.match(
      ended.stderr,
      new RegExp(`image (?:app|other): layer sha256:\\w+: ${finding}$`, 'm'),
    );
});

void test('bad input is one error, with a code that tells which', async (t) => {
  const bad = temporaryTree(t);
  const text = join(bad, 'text');
  writeFileSync(text, 'nothing of the kind');
  const cut = join(bad, 'cut.ext4');
  writeFileSync(cut, readFileSync(direct).subarray(0, 1_000_000));
  const cases = [
    [2, ['inspect', text], 'it is no data image, no pins, no archive of images'],
    [2, ['inspect', join(bad, 'missing')], 'there is no such file'],
    [2, ['diff', direct, text], 'it is no data image, no pins, no archive of images'],
    [2, ['inspect', direct, '--partition', 'data'], 'it has no GUID partition table'],
    [
      2,
      ['inspect', direct, '--partition', 'data', '--offset', '1'],
      'one of --partition and --offset',
    ],
    [2, ['diff', direct], 'TO is not given: stowage diff FROM TO [options]'],
    [3, ['inspect', cut], 'it is cut off'],
    [3, ['diff', direct, cut], 'it is cut off'],
    [3, ['verify', cut, '-p', pins], 'it is cut off'],
  ] as const;
  for (const [code, args, message] of cases) {
    const ended = await runStowage(t, args, ALONE);
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`);
    assert.ok(ended.stderr.includes(message), ended.stderr);
    assert.equal(ended.stderr.match(/^stowage: (?!verify: )/gm)?.length, 1, ended.stderr);
  }
});
