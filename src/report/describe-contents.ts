import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { ContentImage, Contents, EngineFacts } from '../inspect/contents.ts';
import { imageSizes, layerKey, sharedLayers, totals } from '../inspect/contents.ts';
import { formatBytes } from './describe-failure.ts';
import { formatTable } from './table.ts';
import { countOf } from './count-of.ts';

/** What `stowage inspect` prints for people. */
export function describeContents(contents: Contents): string {
  const parts = [
    head(contents),
    imageTable(contents),
    sharedTable(contents.images),
    fileTable(contents),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function head({ kind, source, images, fileSystem, engine }: Contents): string {
  const all = totals(images);
  const lines = [
    `${source}: ${kind}, ${countOf(images.length, 'image')}, ${countOf(all.layers, 'layer')}, ${formatBytes(all.packed)} packed${all.onDisk === 0 ? '' : `, ${formatBytes(all.onDisk)} unpacked on disk`}`,
  ];
  if (fileSystem !== undefined) {
    const { label, uuid, size, free, inodes, freeInodes, clean } = fileSystem;
    const state = clean ? '' : ', not unmounted properly';
    lines.push(
      `file system: label ${label === '' ? 'none' : label}, UUID ${uuid}, ${formatBytes(size)}, ${formatBytes(free)} free, ${freeInodes} of ${inodes} inodes free${state}`,
    );
    lines.push(`engine: ${engine === undefined ? 'no data root of one' : describeEngine(engine)}`);
  }
  return `${lines.join('\n')}\n`;
}

function describeEngine(engine: EngineFacts): string {
  const { dataRoot, store, layout, schema, snapshots, foreign, containers } = engine;
  const whose = layout === 'own' ? ' of a containerd of its own' : '';
  const version = schema === undefined ? '' : `, schema ${schema}${SCHEMAS[schema] ?? ''}`;
  const more = [
    containers === 0 ? '' : countOf(containers, 'container'),
    foreign === 0 ? '' : `${countOf(foreign, 'snapshot')} of no image`,
    engine.extraBlobs === 0
      ? ''
      : `${countOf(engine.extraBlobs, 'blob')} of no image (${formatBytes(engine.extraBytes)})`,
  ].filter((part) => part !== '');
  const where = dataRoot === '' ? 'the partition itself' : dataRoot;
  return [
    `docker, store ${store}${whose} in ${where}${version}`,
    snapshots === 0 ? 'nothing unpacked' : `${countOf(snapshots, 'layer')} unpacked`,
    ...more,
  ].join(', ');
}

const SCHEMAS: Readonly<Record<number, string>> = { 3: ' (containerd 1)', 4: ' (containerd 2)' };

function imageTable({ kind, images }: Contents): string {
  if (images.length === 0) return '';
  const sizes = imageSizes(images);
  const onDisk = kind === 'data image';
  const several = images.some(({ target }) => target !== undefined);
  const rows = images.flatMap((image, i) => {
    const [first = '(no name)', ...others] = image.names;
    const size = sizes[i];
    const row = [
      first,
      ...(several ? [image.target ?? ''] : []),
      image.platform ?? '?',
      short(image.index ?? image.manifest),
      short(image.config),
      `${image.layers.length}`,
      bytes(size?.packed),
      bytes(size?.unpacked),
      ...(onDisk ? [bytes(size?.onDisk)] : []),
      bytes(size?.shared),
    ];
    return [
      row,
      ...others.map((name) => [`  also ${name}`]),
      ...(image.problem === undefined ? [] : [[`  ${image.problem}`]]),
    ];
  });
  const header = [
    'IMAGE',
    ...(several ? ['TARGET'] : []),
    'PLATFORM',
    'DIGEST',
    'CONFIG',
    'LAYERS',
    'PACKED',
    'UNPACKED',
    ...(onDisk ? ['ON DISK'] : []),
    'SHARED',
  ];
  const first = header.indexOf('LAYERS');
  const right = header.map((_, column) => column).filter((column) => column >= first);
  return formatTable([header, ...rows], right);
}

function sharedTable(images: readonly ContentImage[]): string {
  const shared = sharedLayers(images);
  if (shared.length === 0) return '';
  const rows = shared.map(({ layer, images: users }) => [
    short(layerKey(layer) as Digest | undefined),
    bytes(layer.packed),
    bytes(layer.onDisk ?? layer.unpacked),
    users.map(({ names, manifest }) => names[0] ?? short(manifest)).join(', '),
  ]);
  return formatTable([['SHARED LAYER', 'PACKED', 'UNPACKED', 'IMAGES'], ...rows], [1, 2]);
}

function fileTable({ kind, files }: Contents): string {
  if (files.length === 0) return '';
  const rows = files.map(({ path, sha256, mode, size, target }) => [
    path ?? `files/sha256/${sha256 === undefined ? '' : hexOf(sha256)}`,
    mode ?? '',
    formatBytes(size),
    target ?? '',
  ]);
  const title = kind === 'data image' ? 'FILE OUTSIDE THE DATA ROOT' : 'FILE';
  return formatTable([[title, 'MODE', 'SIZE', ''], ...rows], [2]);
}

function bytes(size: number | undefined): string {
  return size === undefined ? '?' : formatBytes(size);
}

/** `sha256:` and twelve digits, as the engines print them. */
export function short(digest: Digest | undefined): string {
  return digest === undefined ? '-' : `sha256:${hexOf(digest).slice(0, 12)}`;
}
