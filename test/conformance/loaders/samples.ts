import { readFileSync } from 'node:fs';
import {
  archive,
  device,
  directory,
  extended,
  file,
  hardLink,
  symlink,
} from '../../data/hostile-layers/case.ts';
import { withZstd } from '../../integration/engine-fixture.ts';
import type { Content, Files, Image, Layer } from '../../rig/image.ts';
import { digestOf, makeImage, makeIndex, makeLayer, noise } from '../../rig/image.ts';

/** An image that the suite bakes, or one that comes later. */
export interface Sample {
  /** In the bundle, and of the registry: `test/NAME:1`. */
  readonly name: string;
  /** As engines know it, the first by default: in full. */
  readonly names: readonly [string, ...string[]];
  /** For the engine's platform. */
  readonly image: Content & Pick<Image, 'config'>;
  /** What the registry serves: the image, or an index with it. */
  readonly published: Content;
  readonly diffIds: readonly string[];
}

export interface Samples {
  readonly baked: readonly Sample[];
  /** Comes as an archive. */
  readonly loaded: Sample;
  /** Comes from a registry. */
  readonly pulled: Sample;
}

/** cap_chown, permitted and effective: `struct vfs_cap_data` of linux/capability.h, revision 2. */
const CAP_CHOWN = `\x01\0\0\x02\x01${'\0'.repeat(15)}`;
const HOST = 'registry.example.org';

/** Images of a few MB with everything that layers can say; `busybox` needs no libraries. */
export async function makeSamples(
  platform: string,
  busybox: string,
  abilities: { readonly zstd: boolean },
): Promise<Samples> {
  const program = readFileSync(busybox);
  const base = await makeLayer(baseFiles(program));
  const below = await makeLayer(BELOW);
  const above = await makeLayer(ABOVE);
  const odd = byHand();
  const listedLayer = await makeLayer({ srv: dir(), 'srv/listed': 'listed' }, { gzip: false });
  const listed = [base, listedLayer];
  const plain = await makeLayer({ srv: dir(), 'srv/packed': noise(60, 100_000) }, { gzip: false });
  const zstd = await makeImage({ platform, layers: [plain], config: { Cmd: ['/none'] } });

  const sample = async (
    name: string,
    layers: readonly Layer[],
    config: Readonly<Record<string, unknown>>,
    more: {
      readonly tags?: readonly string[];
      readonly format?: 'docker';
      readonly of?: (image: Image) => Promise<Content>;
    } = {},
  ): Promise<Sample> => {
    const { format } = more;
    const image = await makeImage({
      ...{ platform, layers, config },
      ...(format === undefined ? {} : { format }),
    });
    return {
      name,
      names: [`${HOST}/test/${name}:1`, ...(more.tags ?? [])],
      image,
      published: (await more.of?.(image)) ?? image,
      diffIds: layers.map(({ diffId }) => diffId),
    };
  };
  const shell = { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] };
  return {
    baked: [
      await sample('base', [base], shell),
      await sample('rich', [base, below, above, odd], RICH_CONFIG, {
        tags: ['docker.io/library/rich:latest', `${HOST}/other/rich:2`],
      }),
      await sample('listed', listed, shell, {
        format: 'docker',
        of: async (image) => {
          const other = platform === 'linux/arm64' ? 'linux/amd64' : 'linux/arm64';
          const foreign = await makeImage({ platform: other, layers: [below], format: 'docker' });
          return makeIndex({ [other]: foreign, [platform]: image }, 'docker');
        },
      }),
      // Another image of the same layers: they stay while one of the two does.
      await sample('twin', listed, { ...shell, Labels: { twin: 'yes' } }),
      await sample(
        'able',
        [base, await makeLayer(ableFiles(program))],
        { ...shell, User: '1000:1000' },
        { format: 'docker' },
      ),
      ...(abilities.zstd
        ? [
            {
              name: 'zstd',
              names: [`${HOST}/test/zstd:1`] as const,
              ...(() => {
                const image = { ...withZstd(zstd, [plain.blob]), config: zstd.config };
                return { image, published: image };
              })(),
              diffIds: [plain.diffId],
            },
          ]
        : []),
    ],
    loaded: await sample(
      'loaded',
      [base, await makeLayer({ srv: dir(), 'srv/loaded': noise(61, 50_000) })],
      {
        ...shell,
      },
    ),
    pulled: await sample(
      'pulled',
      [base, below, await makeLayer({ srv: dir(), 'srv/pulled': noise(62, 50_000) })],
      { ...shell },
    ),
  };
}

const RICH_CONFIG = {
  User: '1000:1001',
  Env: ['PATH=/bin', 'SAID=by the image'],
  WorkingDir: '/srv/app',
  Cmd: ['sh', '-c', 'echo "$SAID in $PWD as $(id -u):$(id -g)"'],
  Labels: { 'org.example.a': '1', 'org.example.ä': 'ö' },
  ExposedPorts: { '80/tcp': {} },
  StopSignal: 'SIGINT',
};

const dir = (mode = 0o755, uid = 0, gid = 0): Files[string] => ({
  type: 'directory',
  ...{ mode, uid, gid },
});

function baseFiles(busybox: Uint8Array): Files {
  const names = ['sh', 'cat', 'id', 'ls', 'stat', 'touch', 'rm', 'find', 'chown', 'true'];
  return {
    bin: dir(),
    'bin/busybox': { content: busybox, mode: 0o755 },
    // A link's own mode becomes that of the file.
    ...Object.fromEntries(
      names.map((name) => [`bin/${name}`, { type: 'link', target: 'bin/busybox', mode: 0o755 }]),
    ),
    etc: dir(),
    'etc/passwd': 'root:x:0:0::/:/bin/sh\nsomebody:x:1000:1001::/:/bin/sh\n',
    'etc/group': 'root:x:0:\nsomebody:x:1001:\n',
    srv: dir(),
    tmp: dir(0o1777),
  };
}

function ableFiles(busybox: Uint8Array): Files {
  return {
    bin: dir(),
    // Its name begins as it must to be taken for the whole of it.
    'bin/busybox-able': {
      content: busybox,
      mode: 0o755,
      xattrs: { 'security.capability': CAP_CHOWN },
    },
    srv: dir(),
    'srv/mine': { content: 'mine', uid: 1000, gid: 1000 },
  };
}

const BELOW: Files = {
  srv: dir(),
  'srv/open': {
    type: 'directory',
    mode: 0o711,
    uid: 7,
    gid: 8,
    mtime: 1_600_000_000,
    xattrs: { 'user.of': 'below' },
  },
  'srv/open/name': { content: 'of the layer below', mtime: 1_500_000_001 },
  'srv/gone': 'not for long',
  'srv/gone-too': dir(),
  'srv/gone-too/file': 'neither',
  'srv/hidden': dir(0o700),
  'srv/hidden/one': 'below',
  'srv/hidden/deep': dir(),
  'srv/hidden/deep/two': 'below',
  'srv/was-a-file': 'a file',
  'srv/was-a-directory': dir(),
  'srv/was-a-directory/in': 'it',
  'srv/linked-1': { content: noise(63, 3000), mode: 0o640, uid: 3, gid: 4 },
  'srv/linked-2': { type: 'link', target: 'srv/linked-1', mode: 0o640, uid: 3, gid: 4 },
  'srv/linked-3': { type: 'link', target: 'srv/linked-2', mode: 0o600, uid: 5, gid: 6 },
  'srv/link': { type: 'symlink', target: 'open/name' },
  'srv/dangling': { type: 'symlink', target: '/no/where', uid: 9, mtime: 1_400_000_000 },
  'srv/able': { content: 'able', mode: 0o755, xattrs: { 'security.capability': CAP_CHOWN } },
  'srv/pipe': { type: 'fifo', mode: 0o622 },
  'srv/null': { type: 'character-device', mode: 0o666, device: { major: 1, minor: 3 } },
  // No member tells of its directories.
  'srv/implied/deep/file': 'implied',
  'srv/large': noise(64, 1_500_000),
  'srv/empty': '',
};

const ABOVE: Files = {
  srv: dir(0o751),
  'srv/hidden': dir(0o705),
  // Of srv/open only the layer below tells more than this.
  'srv/app': dir(0o750, 1000, 1001),
  'srv/.wh.gone': { content: '', uid: 3 },
  'srv/.wh.gone-too': '',
  'srv/hidden/.wh..wh..opq': '',
  'srv/hidden/three': 'above',
  'srv/open/more': { content: 'more', uid: 1000, mode: 0o4750, xattrs: { 'user.of': 'above' } },
  'srv/was-a-file': dir(0o770),
  'srv/was-a-file/in': 'it',
  'srv/was-a-directory': 'now a file',
  'srv/group': { content: 'g', mode: 0o2755, gid: 65_534, uid: 4_000_000_000 },
};

/** What the rig's own layers can't say: names that are no UTF-8, long ones, a block device, fractions of seconds. */
function byHand(): Layer {
  const long = 'l'.repeat(255);
  const blob = archive(
    directory('srv/'),
    directory('srv/odd/', { mode: '0001750' }),
    file('srv/odd/latin-\xe9', 'é in one byte'),
    symlink('srv/odd/to-latin', 'latin-\xe9'),
    hardLink('srv/odd/again-\xff', 'srv/odd/latin-\xe9'),
    extended({ path: `srv/odd/${long}` }),
    file('short', 'long'),
    extended({ path: 'srv/odd/ünï\ncode' }),
    file('short', 'with a line feed'),
    extended({ mtime: '1600000000.123456789' }),
    file('srv/odd/exactly', 'then'),
    device('4', 'srv/odd/block', 7, 200),
  );
  const digest = digestOf(blob);
  return { blob, digest, diffId: digest, compressed: false };
}
