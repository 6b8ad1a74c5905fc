import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseHeadroom, parseSize } from '../../src/model/bundle-size.ts';
import { parseFeatures } from '../../src/model/ext4-features.ts';
import { parsePlatform } from '../../src/model/platform.ts';
import { parseUuid } from '../../src/model/uuid.ts';
import { run } from '../rig/process.ts';
import { ROOT } from './external-tree.ts';
import { BOARD, made, placed, tree } from './stand-in-tree.ts';

const DATA = 'BR2_PACKAGE_STOWAGE_DATA';
const MAKE_FILE = join(ROOT, 'buildroot-external/package/stowage-data/stowage-data-check.mk');

/** [lines of a .config, what make says of them, before any step] */
const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
  [[`${DATA}_BUNDLES=""`], /DATA_BUNDLES is empty: name at least one bundle/u],
  [[`${DATA}_BUNDLES="/nowhere/a.yaml"`], /DATA_BUNDLES: \/nowhere\/a\.yaml is not a file/u],
  [[`${DATA}_PLATFORM=""`], /DATA_PLATFORM is empty: name one, such as linux\/arm64/u],
  [[`${DATA}_PLATFORM="linux arm64"`], /DATA_PLATFORM has "linux arm64", which is not a platform/u],
  [
    [`${DATA}_PLATFORM="linux/amr64"`],
    /DATA_PLATFORM has "linux\/amr64", which is not a platform/u,
  ],
  [[`${DATA}_SET="=b"`], /DATA_SET has "=b", which is not name=value/u],
  [[`${DATA}_SET="a=b c"`], /DATA_SET has "c", which is not name=value/u],
  [[`${DATA}_MIRRORS="mirror"`], /DATA_MIRRORS has "mirror", which is not host\/path, the host/u],
  [[`${DATA}_INSECURE="a.lan/b"`], /DATA_INSECURE has "a\.lan\/b", which is not host:port/u],
  [
    [`${DATA}_ENGINE_VERSION="latest"`],
    /DATA_ENGINE_VERSION has "latest", which is not a version/u,
  ],
  [
    [`${DATA}_DIND_IMAGE="docker:28-dind"`],
    /DATA_DIND_IMAGE has "docker:28-dind", which is not an/u,
  ],
  [[`${DATA}_LABEL="seventeen-bytes-x"`], /DATA_LABEL has "seventeen-bytes-x", which is not 1 to/u],
  [[`${DATA}_SIZE="big"`], /DATA_SIZE has "big", which is not auto, or a size such as 1280M/u],
  [[`${DATA}_SIZE="1280"`], /DATA_SIZE has "1280", which is not auto/u],
  [[`${DATA}_HEADROOM="some"`], /DATA_HEADROOM has "some", which is not a percentage such as 10%/u],
  [[`${DATA}_HEADROOM="10"`], /DATA_HEADROOM has "10", which is not a percentage such as 10%/u],
  [[`${DATA}_FEATURES="6.1,fast"`], /DATA_FEATURES has "6\.1,fast", which is not 5\.15, 6\.1/u],
  [[`${DATA}_UUID="1234"`], /DATA_UUID has "1234", which is not a UUID such as/u],
  [
    [`${DATA}_DATA_ROOT="/docker"`],
    /DATA_DATA_ROOT has "\/docker", which is not a directory from/u,
  ],
  [[`${DATA}_DATA_ROOT="a/../b"`], /DATA_DATA_ROOT has "a\/\.\.\/b"/u],
  [[`${DATA}_AUTHFILE="/nowhere"`], /DATA_AUTHFILE: \/nowhere is not a file that is there/u],
  [[`${DATA}_POLICY="/nowhere"`], /DATA_POLICY: \/nowhere is not a file that is there/u],
  [[`${DATA}_CERT_DIR="/nowhere"`], /DATA_CERT_DIR: \/nowhere is not a directory that is there/u],
  [[`${DATA}_REGISTRIES_DIR="/nowhere"`], /DATA_REGISTRIES_DIR: \/nowhere is not a directory/u],
  [
    [`${DATA}_PINS="/nowhere/p.json"`],
    /DATA_PINS: the directory of \/nowhere\/p\.json is not there/u,
  ],
  [
    [`${DATA}_PINS="/p.json"`, `${DATA}_FROZEN=y`],
    /DATA_FROZEN is set, and \/p\.json of BR2_PACKAGE_STOWAGE_DATA_PINS is not there: make stowage-pin writes it/u,
  ],
  [
    [`${DATA}_FROZEN=y`],
    /DATA_FROZEN is set, and BR2_PACKAGE_STOWAGE_DATA_PINS is empty: name the/u,
  ],
  [
    [`${DATA}_ENGINE_STORE_OVERLAY2=y`, `${DATA}_UNPACK_DEVICE=y`],
    /DATA_UNPACK_DEVICE can't be with BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_OVERLAY2/u,
  ],
  [
    [`${DATA}_ENGINE_STORE_OVERLAY2=y`, `${DATA}_CONTAINERD_OWN=y`],
    /DATA_CONTAINERD_OWN can't be with BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_OVERLAY2/u,
  ],
  [
    ['BR2_PRIMARY_SITE="https://downloads.example"', 'BR2_PRIMARY_SITE_ONLY=y'],
    /BR2_PRIMARY_SITE_ONLY is set, and there is nothing to take images from: .*DATA_MIRRORS, .*DATA_STORE/u,
  ],
];

for (const [lines, said] of MISTAKES)
  test(`${lines.join(' ')} stops before the first step`, async (t) => {
    const board = await tree(t, [...BOARD, ...lines]);
    for (const goal of ['stowage-data', 'stowage-data-source']) {
      const failed = await board.make([goal]);
      assert.equal(failed.code, 2, goal);
      assert.match(failed.stderr, said);
      assert.doesNotMatch(failed.stdout, />>>/u, 'nothing was begun');
    }
    assert.deepEqual(board.calls(), []);
    const report = await board.make(['external-deps', 'help']);
    assert.equal(report.code, 0, `reports are made all the same: ${report.stderr}`);
  });

/** [the processor, what it runs, what is asked for, whether that is said] */
const PROCESSORS: readonly (readonly [readonly string[], string, string, boolean])[] = [
  [['BR2_aarch64=y'], 'linux/arm64', 'linux/amd64', true],
  [['BR2_aarch64=y'], 'linux/arm64', 'armv7', true],
  [['BR2_x86_64=y'], 'linux/amd64', 'linux/386', true],
  [['BR2_aarch64=y'], 'linux/arm64', 'aarch64', false],
  [['BR2_arm=y', 'BR2_cortex_a7=y'], 'linux/arm/v7', 'armv6hf', false],
  [['BR2_arm=y', 'BR2_cortex_a7=y'], 'linux/arm/v7', 'linux/arm/v5', false],
  [['BR2_arm=y', 'BR2_cortex_a7=y'], 'linux/arm/v7', 'linux/arm64', true],
  [['BR2_x86_64=y'], 'linux/amd64', 'x86_64/v2', false],
  [['BR2_powerpc64le=y'], 'linux/ppc64le', 'powerpc64le', false],
  [['BR2_riscv=y'], 'linux/riscv64', 'linux/riscv64', false],
];

for (const [processor, own, asked, isSaid] of PROCESSORS)
  test(`${asked} on a processor for ${own} is ${isSaid ? 'built, with a warning' : 'as it should be'}`, async (t) => {
    const board = await tree(t, [...processor, `${DATA}=y`, `${DATA}_PLATFORM="${asked}"`]);
    const ended = await board.make(['stowage-data-source']);
    assert.equal(ended.code, 0, ended.stderr);
    const warning = `_PLATFORM is ${asked}, and this configuration's processor is one for ${own}: `;
    assert.equal(ended.stderr.includes(warning), isSaid, ended.stderr);
    assert.equal(ended.stderr.includes('processor'), isSaid);
  });

test('frozen without its pins lets them be pinned', async (t) => {
  const pins = `${DATA}_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/p.json"`;
  const board = await tree(t, [...BOARD, pins, `${DATA}_FROZEN=y`]);
  await made(board, 'stowage-pin');
  placed(join(board.external, 'p.json'));
  await made(board, 'stowage-data-source');
  assert.deepEqual(
    board.calls().map(({ command }) => command),
    ['pin', 'fetch'],
  );
});

/** Each name with each variant, and without. */
const PLATFORMS = [
  ...['386', 'amd64', 'arm', 'arm64', 'loong64', 'mips', 'mips64', 'mips64le', 'mipsle', 'ppc64'],
  ...['ppc64le', 'riscv64', 's390x', 'aarch64', 'armv8', 'armv8a', 'armhf', 'armv7', 'armv7a'],
  ...['armv7l', 'armv7hf', 'armv7ve', 'armv6', 'armv6l', 'armv6hf', 'armel', 'armv5', 'armv5e'],
  ...[
    'armv5te',
    'armv5tel',
    'armv5tejl',
    'i386',
    'i486',
    'i586',
    'i686',
    'x86',
    'x86_64',
    'x86-64',
  ],
  ...['loongarch64', 'mipsel', 'mips64el', 'powerpc64', 'powerpc64le', 'ppc64el', 'powerpcle'],
  ...['aarch64_be', 'armeb', 'amr64', 'arm32', 'i786', 'riscv32', ''],
].flatMap((name) =>
  [
    '',
    '/v1',
    '/v5',
    '/v6',
    '/v7',
    '/7',
    '/v8',
    '/8',
    '/v8.0',
    '/v8.2',
    '/v9',
    '/v4/v4',
    '/',
  ].flatMap((variant) => [
    `${name}${variant}`,
    `linux/${name}${variant}`,
    `windows/${name}${variant}`,
  ]),
);

/** What stowage takes and what it doesn't, by the end of a symbol's name: make must say the same. */
const TEXTS: Readonly<
  Record<string, { words: readonly string[]; takes: (word: string) => boolean }>
> = {
  PLATFORM: {
    words: PLATFORMS,
    takes: (word) => parsePlatform(word).ok,
  },
  SIZE: {
    words: ['auto', '1280M', '2G', '1.5GiB', '1342177280', '1T', '12', '1.5', 'M', '1280m', '-1G'],
    takes: (word) => parseSize(word) !== undefined,
  },
  HEADROOM: {
    words: ['10%', '12.5%', '0', '200M', '1GiB', '4096', '%', '10 %', 'auto', '-1%'].concat(
      ...['10', '4095', '4097', '4100', '5000', '12345', '3K', '3.5KiB', '4K', '12.5K', '0.5M'],
    ),
    takes: (word) => parseHeadroom(word) !== undefined,
  },
  FEATURES: {
    words: ['5.15', '6.1', '6.12', 'default', '6.1,-orphan_file', '-has_journal', 'verity'].concat(
      'ea_inode,large_dir',
      'fast',
      '6.2',
      '6.1,fast',
    ),
    takes: (word) => parseFeatures(word.split(',')).ok,
  },
  UUID: {
    words: ['5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab', '5F0C4A1E-9A3B-4C5D-8E6F-0123456789AB'].concat(
      '5f0c4a1e9a3b4c5d8e6f0123456789ab',
      'random',
      '5f0c4a1e-9a3b-4c5d-8e6f',
    ),
    takes: (word) => parseUuid(word) !== undefined,
  },
};

for (const [symbol, { words, takes }] of Object.entries(TEXTS))
  test(`what make takes for ${symbol} is what stowage takes`, async () => {
    const forms = readFileSync(MAKE_FILE, 'utf8')
      .split('\n')
      .filter((line) => /^STOWAGE_DATA_CHECK_\w+_FORM = .*[^\\]$/u.test(line));
    assert.ok(forms.some((line) => line.startsWith(`STOWAGE_DATA_CHECK_${symbol}_FORM`)));
    const script = [...forms, 'all:', `\t@printf '%s' '$(STOWAGE_DATA_CHECK_${symbol}_FORM)'`].join(
      '\n',
    );
    const form = await run('make', ['-s', '-f', '-', 'all'], { input: `${script}\n` });
    assert.equal(form.code, 0, form.stderr);
    const matched = await run('grep', ['-Ex', '--', form.stdout], { input: words.join('\n') });
    assert.deepEqual(matched.stdout.split('\n').slice(0, -1), words.filter(takes), symbol);
  });
