import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileOwner } from '../rig/owner.ts';
import { must, PATH_WITH_SBIN, run, type Outcome } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { assertDataImage } from './assert-data-image.ts';
import { BOARDS, startHomeAssistant, type Board, type HomeAssistant } from './boards.ts';
import {
  configure,
  copyExternalTree,
  readCalls,
  readConfig,
  ROOT,
  STAND_IN,
} from './external-tree.ts';
import { tarOfToday } from './tar-of-today.ts';

/**
 * stowage in the place of HAOS's own package, in HAOS's own tree: HAOS_DIR is a checkout of
 * home-assistant/operating-system, BUILDROOT_DIR one of Buildroot. Nothing is written to either.
 */
const HAOS = process.env['HAOS_DIR'];
const BUILDROOT = process.env['BUILDROOT_DIR'];
const owner = fileOwner();
/** All that is left of `package/hassio`. */
const PACKAGE = {
  'Config.in': 'source "$BR2_EXTERNAL_STOWAGE_PATH/buildroot-external/compat/hassio/Config.in"',
  'hassio.mk': 'include $(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/compat/hassio/hassio.mk',
};

interface Haos {
  readonly dir: string;
  readonly external: string;
  /** HAOS's tree as it is, and with our package in the place of its own. */
  readonly original: string;
  readonly moved: string;
  readonly product: HomeAssistant;
}

let prepared: Promise<Haos> | undefined;

function haosTest(
  name: string,
  body: (t: TestContext, haos: Haos, buildroot: string) => Promise<void>,
): void {
  test(`HAOS's own tree: ${name}`, async (t) => {
    if (HAOS === undefined) skip(t, 'HAOS_DIR');
    else if (BUILDROOT === undefined) skip(t, 'BUILDROOT_DIR');
    else await body(t, await (prepared ??= prepare(resolve(HAOS))), resolve(BUILDROOT));
  });
}

async function prepare(haos: string): Promise<Haos> {
  const dir = temporaryTree(owner);
  const original = join(haos, 'buildroot-external');
  const moved = join(dir, 'haos');
  cpSync(original, moved, { recursive: true });
  // What docs/migrating-from-hassio.md says is to be done.
  const hassio = join(moved, 'package', 'hassio');
  rmSync(hassio, { recursive: true });
  mkdirSync(hassio);
  for (const [file, line] of Object.entries(PACKAGE))
    writeFileSync(join(hassio, file), `${line}\n`);
  const external = copyExternalTree(join(dir, 'stowage'), STOWAGE);
  return { dir, external, original, moved, product: await startHomeAssistant(owner) };
}

interface Build {
  readonly out: string;
  make(...targets: readonly string[]): Promise<Outcome>;
}

async function build(
  t: TestContext,
  haos: Haos,
  buildroot: string,
  externals: string,
): Promise<Build> {
  const out = temporaryTree(t);
  const tar = await tarOfToday(out);
  const env = {
    PATH: ['/usr/bin', PATH_WITH_SBIN].join(delimiter),
    HOME: haos.dir,
    LC_ALL: 'C',
    BR2_EXTERNAL: externals,
    // HAOS's defconfigs have /cache/dl, which is in its build container.
    BR2_DL_DIR: join(haos.dir, 'dl'),
  };
  return {
    out,
    make: (...targets) =>
      run('make', ['-C', buildroot, `O=${out}`, `TAR=${tar}`, ...targets], {
        env,
        deadline: 600_000,
      }),
  };
}

async function made(b: Build, ...targets: readonly string[]): Promise<string> {
  const outcome = await b.make(...targets);
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome.stdout;
}

const haosDefconfig = (board: Board): string => `${board.name}_defconfig`;

haosTest('its defconfigs load and save as with its own package', async (t, haos, buildroot) => {
  const before = await build(t, haos, buildroot, haos.original);
  const after = await build(t, haos, buildroot, `${haos.moved}:${haos.external}`);
  for (const board of BOARDS) {
    const saved = [];
    for (const b of [before, after]) {
      // In one call: savedefconfig by itself reads every package there is.
      await made(b, haosDefconfig(board), 'savedefconfig', `DEFCONFIG=${join(b.out, 'saved')}`);
      saved.push(readFileSync(join(b.out, 'saved'), 'utf8'));
    }
    assert.equal(saved[1], saved[0], board.name);
    const config = readConfig(join(after.out, '.config'));
    assert.equal(config.get('BR2_PACKAGE_HASSIO'), 'y');
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA'), 'y');
    assert.equal(config.get('BR2_PACKAGE_HASSIO_MACHINE'), board.machine);
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA_PLATFORM'), board.platform);
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA_SIZE'), '1280M');
  }
});

const DATA = 'BR2_PACKAGE_STOWAGE_DATA';

/** Appended to .config, as HAOS's own workflow does it with the channel. */
async function configured(b: Build, board: Board, ...lines: readonly string[]): Promise<void> {
  await made(b, haosDefconfig(board));
  appendFileSync(join(b.out, '.config'), `${lines.join('\n')}\n`);
  await made(b, 'olddefconfig');
}

for (const name of ['generic_aarch64', 'ova']) {
  const board = BOARDS.find((one) => one.name === name);
  assert.ok(board);
  haosTest(`\`make hassio\` for ${name} gives its partition`, async (t, haos, buildroot) => {
    const b = await build(t, haos, buildroot, `${haos.moved}:${haos.external}`);
    await configured(b, board, ...withoutNetwork(haos.product));
    await made(b, 'hassio');
    const images = join(b.out, 'images');
    await assertDataImage(t, images, haos.product, board);
    const size = statSync(join(images, 'data.ext4')).size;
    assert.equal(size, 1280 * 2 ** 20, "as big as HAOS's scripts have room for");
    const { engine } = JSON.parse(readFileSync(join(images, 'data.json'), 'utf8')) as {
      readonly engine: { readonly version: string };
    };
    const docker = readFileSync(join(buildroot, 'package/docker-engine/docker-engine.mk'), 'utf8');
    assert.equal(engine.version, /^DOCKER_ENGINE_VERSION = (.*)$/mu.exec(docker)?.[1]);
    if (name === 'generic_aarch64') await assertOnDisk(b, haos);

    // HAOS's workflow builds other channels by appending to .config, here to one that is there.
    appendFileSync(join(b.out, '.config'), 'BR2_PACKAGE_HASSIO_CHANNEL_BETA=y\n');
    await made(b, 'olddefconfig');
    await made(b, 'hassio-dirclean', 'hassio');
    await assertDataImage(t, images, haos.product, board, { channel: 'beta' });
  });
}

/**
 * HAOS's own variables and genimage configuration take the image and put it where the device looks for it. What else
 * is on the disk is empty here. The names of partition types are spelt out: Debian's genimage is older than they are.
 */
async function assertOnDisk({ out }: Build, { moved }: Haos): Promise<void> {
  const configuration = join(out, 'genimage');
  cpSync(join(moved, 'genimage'), configuration, { recursive: true });
  for (const file of readdirSync(configuration)) {
    const text = readFileSync(join(configuration, file), 'utf8')
      .replaceAll('"esp"', '"c12a7328-f81f-11d2-ba4b-00a0c93ec93b"')
      .replaceAll('-type-uuid = "linux"', '-type-uuid = "0fc63daf-8483-4772-8e79-3d69d8477de4"');
    writeFileSync(join(configuration, file), text);
  }
  const script = `set -e
cd "$BINARIES_DIR"
set -a
. "$BR2_EXTERNAL_HASSOS_PATH/meta"
. "$BR2_EXTERNAL_HASSOS_PATH/board/arm-uefi/generic-aarch64/meta"
. "$BR2_EXTERNAL_HASSOS_PATH/scripts/name.sh"
. "$BR2_EXTERNAL_HASSOS_PATH/scripts/hdd-image.sh"
SYSTEM_IMAGE=$(path_rootfs_img) DATA_IMAGE=$(path_data_img) BOOT_SPL_TYPE=nospl IMAGE_NAME=disk
truncate -s 1M boot.vfat kernel.img overlay.ext4 rootfs.erofs
sed -n '/^image .*img"/,/^}/p' ../genimage/genimage.cfg >../disk.cfg
mkdir ../empty
genimage --rootpath ../empty --tmppath ../genimage.tmp --inputpath . --outputpath . \\
  --includepath ../genimage:.. --config disk.cfg`;
  await must('bash', ['-c', script], {
    env: {
      PATH: PATH_WITH_SBIN,
      BINARIES_DIR: join(out, 'images'),
      BR2_EXTERNAL_HASSOS_PATH: moved,
    },
  });
  const disk = join(out, 'images', 'disk.img');
  const { partitiontable } = JSON.parse(await must('sfdisk', ['--json', disk])) as {
    readonly partitiontable: {
      readonly partitions: readonly {
        readonly name: string;
        readonly start: number;
        readonly size: number;
      }[];
    };
  };
  const data = partitiontable.partitions.find((partition) => partition.name === 'hassos-data');
  assert.ok(data);
  assert.ok(
    partitiontable.partitions.every(({ start }) => start <= data.start),
    'it is the last',
  );
  assert.equal(data.size * 512, 1280 * 2 ** 20);
  const image = join(out, 'images', 'data.ext4');
  await must('cmp', [
    `--ignore-initial=${data.start * 512}:0`,
    `--bytes=${data.size * 512}`,
    disk,
    image,
  ]);
}

function withoutNetwork({ registry, versions }: HomeAssistant): string[] {
  return [
    `${DATA}_LOADER_DIRECT=y`,
    `${DATA}_MIRRORS="${registry.host}"`,
    `${DATA}_SET="versions=${versions}"`,
  ];
}

haosTest(
  'what contradicts the options of hassio stops make, which names it',
  async (t, haos, buildroot) => {
    const board = BOARDS.find((one) => one.name === 'green');
    assert.ok(board);
    const b = await build(t, haos, buildroot, `${haos.moved}:${haos.external}`);
    await configured(b, board);
    for (const [assignment, message] of [
      ['BR2_PACKAGE_HASSIO_ARCH=arm', /BR2_PACKAGE_HASSIO_ARCH is "arm": it must be aarch64, /u],
      [`${DATA}_MACHINE=yellow`, /BR2_PACKAGE_STOWAGE_DATA_MACHINE must be empty: /u],
      [`${DATA}_CHANNEL=beta`, /BR2_PACKAGE_STOWAGE_DATA_CHANNEL must be empty: /u],
    ] as const) {
      const { code, stderr } = await b.make(assignment, 'stowage-data');
      assert.notEqual(code, 0);
      assert.match(stderr, message);
    }
  },
);

for (const [channel, lines] of [
  ['stable', []],
  ['beta', ['BR2_PACKAGE_HASSIO_CHANNEL_BETA=y']],
  ['dev', ['BR2_PACKAGE_HASSIO_CHANNEL_DEV=y']],
] as const)
  test(`with the stand-in: the options of hassio reach stowage, channel ${channel}`, async (t) => {
    const dir = temporaryTree(t);
    const external = copyExternalTree(join(dir, 'external'), join(STAND_IN, 'stowage.mjs'));
    appendFileSync(join(external, 'Config.in'), `${PACKAGE['Config.in']}\n`);
    const hassio = join(external, 'buildroot-external', 'package', 'hassio');
    mkdirSync(hassio);
    writeFileSync(join(hassio, 'hassio.mk'), `${PACKAGE['hassio.mk']}\n`);
    appendFileSync(join(external, 'external.mk'), `include ${join(hassio, 'hassio.mk')}\n`);
    const out = join(dir, 'out');
    mkdirSync(out);
    const config = await configure(out, external, [
      ...['BR2_x86_64=y', `BR2_DL_DIR="${join(dir, 'dl')}"`, 'BR2_PACKAGE_HASSIO=y'],
      ...['BR2_PACKAGE_HASSIO_ARCH="armhf"', 'BR2_PACKAGE_HASSIO_MACHINE="tinker"', ...lines],
    ]);
    assert.equal(config.get(DATA), 'y');
    const log = join(dir, 'calls.log');
    const command = ['-f', join(STAND_IN, 'Makefile'), `O=${out}`, 'hassio'];
    const { code, stderr } = await run('make', command, {
      env: { PATH: PATH_WITH_SBIN, BR2_EXTERNAL_STOWAGE_PATH: external, STAND_IN_LOG: log },
    });
    assert.equal(code, 0, stderr);
    const calls = readCalls(log).filter(({ command: verb }) => /^(?:fetch|build)$/u.test(verb));
    assert.deepEqual(
      calls.map(({ command: verb }) => verb),
      ['fetch', 'build'],
    );
    const after = (args: readonly string[], option: string): string | undefined =>
      args[args.indexOf(option) + 1];
    for (const { command: verb, args } of calls) {
      assert.equal(after(args, '--platform'), 'linux/arm/v6');
      assert.equal(after(args, '--machine'), 'tinker');
      assert.equal(after(args, '--set'), `channel=${channel}`);
      if (verb === 'build') assert.equal(after(args, '--size'), '1280M');
    }
  });

test('real Buildroot: check-package finds nothing in the files for hassio', async (t) => {
  if (BUILDROOT === undefined) {
    skip(t, 'BUILDROOT_DIR');
    return;
  }
  const files = ['Config.in', 'hassio.mk'].map((file) =>
    join(ROOT, 'buildroot-external', 'compat', 'hassio', file),
  );
  const { code, stdout, stderr } = await run(
    '/usr/bin/python3',
    ['utils/check-package', '-b', ...files],
    { cwd: resolve(BUILDROOT) },
  );
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout + stderr, /\b0 warnings generated/u);
});

test('docs/migrating-from-hassio.md has the lines that are tried here', () => {
  const page = readFileSync(join(ROOT, 'docs', 'migrating-from-hassio.md'), 'utf8');
  for (const line of Object.values(PACKAGE)) assert.ok(page.includes(line), line);
});
