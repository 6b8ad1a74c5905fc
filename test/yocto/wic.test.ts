import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeImage, noise, writeLayout } from '../rig/image.ts';
import { must, run } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { LAYER, realTest, testDirectory } from './build-tree.ts';

const EXAMPLE = join(LAYER, 'files/wic/stowage-example.wks');
/** Of its plugins, with which it makes partitions. */
const PROGRAMS = ['parted', 'sgdisk', 'mkdosfs', 'mcopy', 'mkfs.ext4', 'sfdisk'];

async function dataImage(t: TestContext, dir: string, image: string): Promise<string> {
  const layers = [{ 'etc/sample': { content: noise(1, 3_000_000) } }];
  await writeLayout(join(dir, 'layout'), await makeImage({ platform: 'linux/amd64', layers }));
  const [bundle, pins] = [join(dir, 'bundle.yaml'), join(dir, 'pins.json')];
  writeFileSync(
    bundle,
    "stowage: 1\nimages: { sample: { from: 'oci:layout:image', tags: ['sample:1'] } }\n",
  );
  const places = ['-b', bundle, '-p', pins, '-s', join(dir, 'store')];
  const target = [...places, '--platform', 'linux/amd64', '--loader', 'direct'];
  for (const args of [
    ['fetch', ...target],
    ['build', ...target, '-o', image],
  ]) {
    const { code, stderr } = await runStowage(t, args);
    assert.equal(code, 0, stderr);
  }
  return pins;
}

realTest('wic puts the data image last on the disk, byte for byte', async (t, { core }) => {
  const wic = join(core, 'scripts/wic');
  if (!existsSync(wic)) {
    skip(t, 'BITBAKE_DIR of a release whose openembedded-core has wic in itself, as scarthgap');
    return;
  }
  for (const program of PROGRAMS)
    await must('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${program}`]);
  const dir = testDirectory(t);
  const at = (name: string): string => join(dir, name);
  for (const name of ['deploy', 'root/etc', 'vars', 'out'])
    mkdirSync(at(name), { recursive: true });
  const image = join(dir, 'deploy/data.ext4');
  const pins = await dataImage(t, dir, image);
  // What a boot loader and a kernel are does not matter to wic.
  writeFileSync(at('deploy/bzImage'), noise(2, 3_000_000));
  writeFileSync(at('deploy/grub-efi-bootx64.efi'), noise(3, 500_000));
  writeFileSync(at('root/etc/hostname'), 'device\n');
  // As do_rootfs_wicenv leaves them, with env(1) for pseudo.
  const variables = {
    DEPLOY_DIR_IMAGE: at('deploy'),
    KERNEL_IMAGETYPE: 'bzImage',
    TARGET_SYS: 'x86_64-oe-linux',
    HOSTTOOLS_DIR: '/usr/bin',
    IMAGE_ROOTFS: at('root'),
    FAKEROOTCMD: '/usr/bin/env',
    ROOTFS_SIZE: '65536',
  };
  const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`);
  writeFileSync(at('vars/product.env'), lines.join(''));
  // The plugin's name there, as the example says.
  writeFileSync(
    at('disk.wks'),
    readFileSync(EXAMPLE, 'utf8').replace(/bootimg_efi/u, 'bootimg-efi'),
  );
  const made = await run('env', [
    ...['PATH=/usr/sbin:/usr/bin:/sbin:/bin', `BUILDDIR=${dir}`],
    ...['/usr/bin/python3', '-B', wic, 'create', at('disk.wks'), '--skip-build-check'],
    ...['--vars', at('vars'), '--image-name', 'product', '--native-sysroot', '/'],
    ...['--rootfs-dir', at('root'), '--bootimg-dir', at('deploy'), '--kernel-dir', at('deploy')],
    ...['--outdir', at('out'), '--workdir', at('work')],
  ]);
  assert.equal(made.code, 0, made.stdout + made.stderr);

  const disk = at(`out/${readdirSync(at('out')).find((name) => name.endsWith('.direct')) ?? ''}`);
  const { partitiontable } = JSON.parse(await must('sfdisk', ['--json', disk])) as {
    readonly partitiontable: {
      readonly partitions: readonly {
        readonly start: number;
        readonly size: number;
        readonly name: string;
      }[];
    };
  };
  const { partitions } = partitiontable;
  assert.deepEqual(
    partitions.map(({ name }) => name),
    ['boot', 'root', 'data'],
  );
  const [, root, data] = partitions;
  assert.ok(root !== undefined && data !== undefined);
  assert.ok(data.start >= root.start + root.size, 'data is last');
  const from = data.start * 512;
  const bytes = readFileSync(image);
  assert.ok(
    readFileSync(disk)
      .subarray(from, from + bytes.length)
      .equals(bytes),
  );
  assert.ok(data.size * 512 - bytes.length < 1_048_576);

  const verify = await runStowage(t, ['verify', disk, '--partition', 'data', '-p', pins]);
  assert.equal(verify.code, 0, verify.stderr);
  assert.match(verify.stdout + verify.stderr, /ok: 1 image/u);
});
