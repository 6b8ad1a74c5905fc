import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeImage, noise, writeLayout } from '../rig/image.ts';
import { machinePlatform } from '../rig/platform.ts';
import { must, run } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { inUserModeLinux } from '../rig/user-mode-linux.ts';
import { ROOT } from './external-tree.ts';

/** The example of a disk with the data partition last, and of a device that grows it. */
const EXAMPLE = join(ROOT, 'buildroot-external', 'board', 'systemd');
const OVERLAY = join(EXAMPLE, 'rootfs-overlay');
const UNITS = join(OVERLAY, 'usr', 'lib', 'systemd', 'system');

interface Partition {
  readonly node: string;
  /** Sectors of 512 bytes. */
  readonly start: number;
  readonly size: number;
  readonly name: string;
}

async function partitionsOf(disk: string): Promise<readonly Partition[]> {
  const { partitiontable } = JSON.parse(await must('sfdisk', ['--json', disk])) as {
    readonly partitiontable: { readonly partitions: readonly Partition[] };
  };
  return partitiontable.partitions;
}

async function missing(...programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs)
    if ((await run('sh', ['-c', `command -v ${program}`])).code !== 0) return program;
  return undefined;
}

async function dataImage(t: TestContext, dir: string): Promise<string> {
  const layers = [{ 'etc/sample': { content: noise(1, 3_000_000) } }];
  await writeLayout(join(dir, 'layout'), await makeImage({ platform: machinePlatform(), layers }));
  const bundle = join(dir, 'bundle.yaml');
  writeFileSync(
    bundle,
    "stowage: 1\nimages: { sample: { from: 'oci:layout:image', tags: ['sample:1'] } }\n",
  );
  const places = ['-b', bundle, '-p', join(dir, 'pins.json'), '-s', join(dir, 'store')];
  const target = [...places, '--platform', machinePlatform(), '--loader', 'direct'];
  const image = join(dir, 'images', 'data.ext4');
  for (const args of [
    ['fetch', ...target],
    ['build', ...target, '-o', image],
  ]) {
    const { code, stderr } = await runStowage(t, args);
    assert.equal(code, 0, stderr);
  }
  return image;
}

test('genimage puts the data image last on the disk, and the device grows it at its first boot', async (t) => {
  const lacking = await missing('genimage', 'systemd-repart', 'sfdisk');
  if (lacking !== undefined) {
    skip(t, lacking);
    return;
  }
  const dir = temporaryTree(t);
  const images = join(dir, 'images');
  mkdirSync(images);
  mkdirSync(join(dir, 'root'));
  const image = await dataImage(t, dir);
  await must('mke2fs', ['-q', '-t', 'ext4', join(images, 'rootfs.ext4'), '8M']);

  // As Buildroot's support/scripts/genimage.sh calls it.
  await must('genimage', [
    ...['--rootpath', join(dir, 'root'), '--tmppath', join(dir, 'tmp')],
    ...['--inputpath', images, '--outputpath', images],
    ...['--config', join(EXAMPLE, 'genimage.cfg')],
  ]);
  const disk = join(images, 'disk.img');
  const [root, data, ...others] = await partitionsOf(disk);
  assert.deepEqual(others, []);
  assert.ok(root !== undefined && data !== undefined);
  assert.deepEqual([root.name, data.name], ['root', 'data']);
  assert.ok(data.start >= root.start + root.size, 'data is last');
  const bytes = readFileSync(image);
  assert.ok(data.size * 512 >= bytes.length);
  const file = await open(disk);
  t.after(() => file.close());
  const { buffer } = await file.read(Buffer.alloc(bytes.length), 0, bytes.length, data.start * 512);
  assert.ok(buffer.equals(bytes), 'and is the data image');
  const verify = ['verify', disk, '--partition', 'data', '-p', join(dir, 'pins.json')];
  assert.equal((await runStowage(t, verify)).code, 0);

  // Written to a card that is bigger.
  truncateSync(disk, 200 * 2 ** 20);
  const definitions = `--definitions=${join(OVERLAY, 'usr/lib/repart.d')}`;
  const grow = (): Promise<string> =>
    must('systemd-repart', [definitions, '--dry-run=no', '--no-pager', disk]);
  await grow();
  const [sameRoot, grown] = await partitionsOf(disk);
  assert.deepEqual(sameRoot, root);
  assert.deepEqual({ ...grown, size: 0 }, { ...data, size: 0 }, 'it stays where and what it is');
  assert.ok((grown?.size ?? 0) * 512 > 180 * 2 ** 20, `${grown?.size} sectors`);
  await grow();
  assert.deepEqual((await partitionsOf(disk))[1], grown, 'a second boot changes nothing');
  assert.equal((await runStowage(t, verify)).code, 0);

  // Mounted, the file system follows; this machine's kernel may refuse that to root.
  const said = await inUserModeLinux(
    t,
    [disk],
    [
      'set -e',
      'mkdir /mnt/data; mount /dev/ubda2 /mnt/data',
      '/usr/lib/systemd/systemd-growfs /mnt/data',
      'echo "blocks $(stat -f -c %b /mnt/data) of $(stat -f -c %S /mnt/data)"',
      'umount /mnt/data',
    ].join('\n'),
  );
  const [, blocks, size] = /blocks (\d+) of (\d+)/u.exec(said) ?? [];
  assert.ok(Number(blocks) * Number(size) > 150 * 2 ** 20, said);
  const used = await runStowage(t, [...verify, '--used']);
  assert.equal(used.code, 0, used.stderr);
});

test('the units of the example are such as systemd takes', async (t) => {
  const lacking = await missing('systemd-analyze');
  if (lacking !== undefined) {
    skip(t, lacking);
    return;
  }
  const { code, stdout, stderr } = await run('systemd-analyze', [
    'verify',
    join(UNITS, 'mnt-data.mount'),
  ]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout + stderr, '');
  const preset = readFileSync(
    join(OVERLAY, 'usr/lib/systemd/system-preset/50-data.preset'),
    'utf8',
  );
  assert.equal(preset, 'enable mnt-data.mount\n');
  for (const service of ['docker', 'containerd'])
    assert.equal(
      readFileSync(join(UNITS, `${service}.service.d/data.conf`), 'utf8'),
      '[Unit]\nRequiresMountsFor=/mnt/data\n',
    );
});

test("the device's engine looks where the data image has its images", () => {
  const daemon = JSON.parse(
    readFileSync(join(OVERLAY, 'etc/docker/daemon.json'), 'utf8'),
  ) as unknown;
  assert.deepEqual(daemon, {
    'data-root': '/mnt/data/docker',
    features: { 'containerd-snapshotter': true },
  });
  const containerd = readFileSync(join(OVERLAY, 'etc/containerd/config.toml'), 'utf8');
  assert.match(containerd, /^root = "\/mnt\/data\/docker\/containerd\/daemon"$/mu);
});
