import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import { dataImageContent } from '../rig/data-image-content.ts';
import { startDevice } from '../rig/device-engine.ts';
import { mountLoop } from '../rig/loop-mount.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { must } from '../rig/process.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { copyResult, stampOf, startReuse } from './reuse-fixture.ts';

/** Adding to a data image that somebody else has made. */
const owner = fileOwner();
const reuse = await startReuse(owner);
const dir = temporaryTree(owner);
const earlier = join(dir, 'earlier.ext4');
const NO_ENGINE = { env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' } };
/** What the earlier product has, and what is to be added. */
const THEIRS = { app: undefined, cli: undefined };
const OURS = { audio: undefined, dns: undefined, extra: '1' };

test('set-up: an image with two images, files of its own, and no data.json', async (t) => {
  const args = await reuse.variant(t, { images: THEIRS, files: { 'theirs/file': 'theirs' } });
  const built = await reuse.build(t, [...args, '-o', earlier, '--no-share']);
  assert.equal(built.code, 0, built.stderr);
  rmSync(earlier.replace(/ext4$/, 'json'));
  const commands = ['mkdir theirs/empty', 'symlink theirs/link file', 'mkdir docker/volumes'];
  for (const command of commands) await must('debugfs', ['-w', '-R', command, earlier]);
  await must('sh', ['-c', 'e2fsck -fy "$0" || [ $? = 1 ]', earlier]);
});

test('all that was there stays, and what is new is there too', async (t) => {
  const args = await reuse.variant(t, { images: OURS, files: { 'ours/file': 'ours' } });
  const output = join(temporaryTree(t), 'data.ext4');
  const watched = { engine: reuse.engine, stores: [reuse.store], outputs: [dir] };
  const before = await machineState(watched);
  const stamp = stampOf(earlier);
  const into = ['--into', earlier, '-o', output];
  const planned = await reuse.build(t, [...args, ...into, '-n']);
  assert.equal(planned.code, 0, planned.stderr);
  assert.match(
    planned.stdout,
    /3 of 5 images added: app, cli, extra; 1 file changed: ours\/file, on top of/,
  );
  const built = await reuse.build(t, [...args, ...into]);
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /warning: theirs\/link: data\.json can't describe it/);
  assert.equal(stampOf(earlier), stamp);
  await assertNothingLeft(before, watched);

  const [was, is] = [await dataImageContent(t, earlier), await dataImageContent(t, output)];
  for (const [name, digest] of Object.entries(was.names)) assert.equal(is.names[name], digest);
  for (const [chain, tree] of Object.entries(was.snapshots))
    assert.equal(is.snapshots[chain], tree);
  for (const line of was.files.split('\n')) assert.ok(is.files.includes(line), line);
  assert.match(is.files, /^ours\/file 644 0:0 4 /m);
  const whole = await runStowage(t, ['verify', output, '--self']);
  assert.match(whole.stdout, /: 5 images, /, whole.stderr);

  const device = await startDevice(t, output, { engine: reuse.engine, dind: await dindImage() });
  const names = (await device.images()).map(({ name }) => name);
  for (const name of ['app', 'audio', 'cli', 'dns', 'extra'])
    assert.ok(names.includes(`reuse/${name}:now`), `${name} of ${names.join(' ')}`);
  await device.stop();
});

test('into the output itself, again and again; the next plain build begins anew', async (t) => {
  const output = await copyResult(t, await withDocument(t));
  const args = await reuse.variant(t, { images: OURS });
  const built = await reuse.build(t, [...args, '--into', output, '-o', output]);
  assert.equal(built.code, 0, built.stderr);
  const stamp = stampOf(output);
  const again = await reuse.build(t, [...args, '--into', output, '-o', output], NO_ENGINE);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, /nothing changed/);
  assert.equal(stampOf(output), stamp);
  // data.json describes all of it.
  const verified = await runStowage(t, ['verify', output]);
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /ok: 5 images/);
  const plain = await reuse.build(t, [...args, '-o', output, '-n']);
  assert.match(plain.stdout, /was made in another way/);
});

test('what would be replaced is refused by name, and nothing is done', async (t) => {
  const output = join(temporaryTree(t), 'data.ext4');
  const args = await reuse.variant(t, {
    images: { ...OURS, dns: '2' },
    tags: { dns: ['reuse/fresh:1'] },
    files: { 'theirs/file': 'ours', 'theirs/link/below': 'x', 'theirs/empty': 'x' },
  });
  const refused = await reuse.build(t, [...args, '--into', earlier, '-o', output]);
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /nothing can be added to \S+earlier\.ext4 as it is:/);
  assert.match(
    refused.stderr,
    /image dns: docker\.io\/reuse\/dns:now is sha256:\w+ there, pinned is/,
  );
  assert.match(refused.stderr, /file theirs\/file: something else is there/);
  assert.match(refused.stderr, /file theirs\/link\/below: theirs\/link is no directory there/);
  assert.match(refused.stderr, /file theirs\/empty: something else is there \(a directory\)/);
  assert.doesNotMatch(refused.stderr, /fresh/);
});

test('what an engine has besides images would be lost, and is refused', async (t) => {
  const used = join(temporaryTree(t), 'used.ext4');
  await must('cp', ['--sparse=always', earlier, used]);
  for (const command of [
    'mkdir docker/volumes/mine',
    'mkdir docker/containers',
    'mkdir docker/containers/0123',
  ])
    await must('debugfs', ['-w', '-R', command, used]);
  await must('sh', ['-c', 'e2fsck -fy "$0" || [ $? = 1 ]', used]);
  const args = await reuse.variant(t, { images: OURS });
  const refused = await reuse.build(t, [...args, '--into', used, '-o', used]);
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /it has volumes: mine/);
  assert.match(refused.stderr, /it has containers: 0123/);
});

test('edited pins, packed images and odd names are refused beforehand, in dry runs too', async (t) => {
  const into = temporaryTree(t);
  const output = join(into, 'data.ext4');
  const args = await reuse.variant(t, { images: OURS });
  const dry = ['-o', output, '-n'];
  const packed = await reuse.build(t, [...args, '--into', earlier, '--no-unpack', ...dry]);
  assert.equal(packed.code, 2, packed.stderr);
  assert.match(packed.stderr, /only images whose content is unpacked can be added/);

  const tree = join(into, 'tree');
  mkdirSync(join(tree, 'docker', 'buildkit'), { recursive: true });
  writeFileSync(join(tree, 'docker', 'buildkit', 'a\nb'), '');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/x`), Buffer.of(0xff)]), '');
  const odd = join(into, 'odd.ext4');
  await must('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', '-L', 'reuse', '-d', tree, odd, '64M']);
  const named = await reuse.build(t, [...args, '--into', odd, '-o', output]);
  assert.equal(named.code, 2, named.stderr);
  assert.match(named.stderr, /control characters: docker\/buildkit\/a\\x0ab$/m);
  assert.match(named.stderr, /control characters: x\\xff$/m);

  const pins = args[3] ?? '';
  const text = readFileSync(pins, 'utf8');
  type Written = { targets: Record<string, { images: Record<string, { layers: unknown[] }> }> };
  const edited = JSON.parse(text) as Written;
  for (const { images } of Object.values(edited.targets)) images['extra']?.layers.pop();
  writeFileSync(pins, JSON.stringify(edited));
  const contradicted = await reuse.build(t, [...args, '--into', earlier, ...dry]);
  assert.equal(contradicted.code, 3, contradicted.stderr);
  assert.match(contradicted.stderr, /3 layers are in its manifest, 2 in the pins/);
});

test('no image, a mounted one, and one with another product’s data.json', async (t) => {
  const args = await reuse.variant(t, { images: OURS });
  const into = temporaryTree(t);
  const output = join(into, 'data.ext4');
  const text = join(into, 'text');
  writeFileSync(text, 'no image');
  const none = await reuse.build(t, [...args, '--into', text, '-o', output]);
  assert.equal(none.code, 2, none.stderr);
  assert.match(none.stderr, /this is no ext4 file system/);
  const small = join(into, 'small.ext4');
  await must('mke2fs', ['-q', '-t', 'ext4', '-b', '1024', small, '32M']);
  const blocks = await reuse.build(t, [...args, '--into', small, '-o', output]);
  assert.equal(blocks.code, 2, blocks.stderr);
  assert.match(blocks.stderr, /its file system has blocks of 1024 bytes, not 4096/);
  const mount = join(into, 'mnt');
  mkdirSync(mount);
  await mountLoop(t, earlier, mount, ['ro', 'noload']);
  const mounted = await reuse.build(t, [...args, '--into', earlier, '-o', output]);
  assert.equal(mounted.code, 2, mounted.stderr);
  assert.match(mounted.stderr, /earlier\.ext4 is in use: \/dev\/loop/);
});

test('an empty partition gets its first images', async (t) => {
  const empty = join(temporaryTree(t), 'empty.ext4');
  await must('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', '-L', 'reuse', empty, '64M']);
  const args = await reuse.variant(t, { images: OURS });
  const built = await reuse.build(t, [...args, '--into', empty, '-o', empty]);
  assert.equal(built.code, 0, built.stderr);
  const verified = await runStowage(t, ['verify', empty, ...args.slice(2)]);
  assert.equal(verified.code, 0, verified.stderr);
});

/** The earlier image as its own build left it, with data.json. */
async function withDocument(t: Parameters<typeof reuse.variant>[0]): Promise<string> {
  const output = join(temporaryTree(t), 'data.ext4');
  const args = await reuse.variant(t, { images: THEIRS, files: { 'theirs/file': 'theirs' } });
  const built = await reuse.build(t, [...args, '-o', output]);
  assert.equal(built.code, 0, built.stderr);
  assert.match(readFileSync(output.replace(/ext4$/, 'json'), 'utf8'), /"fingerprint"/);
  return output;
}
