import type {
  Difference,
  FieldChange,
  FileDifference,
  FileDifferences,
  LayerChanges,
  LayerFacts,
  MovedImage,
  PackageChange,
  RecordChange,
  Side,
} from '../diff/difference.ts';
import { isEmpty } from '../diff/collect-files.ts';
import type { ContentImage } from '../inspect/contents.ts';
import { imageKey, imageSizes } from '../inspect/contents.ts';
import { parseDigest } from '../model/digest.ts';
import { countOf } from './count-of.ts';
import { short } from './describe-contents.ts';
import { formatBytes } from './describe-failure.ts';

/** What `stowage diff` prints for people. */
export function describeDifference(difference: Difference): string {
  const { from, to, added, removed, moved, tags, same } = difference;
  const lines = [
    `--- ${describeSide(from)}`,
    `+++ ${describeSide(to)}`,
    `images: ${same} the same, ${moved.length} moved, ${added.length} added, ${removed.length} removed${describeTags(difference)}`,
    ...removed.map((image) => `- image ${describeImage(image)}`),
    ...added.map((image) => `+ image ${describeImage(image)}`),
    ...tags.map(({ kind, name, image }) => `${SIGNS[kind]} tag ${name} (${shorten(image)})`),
    ...moved.flatMap(describeMoved),
    ...section('file system and engine', difference.fileSystem.map(describeField)),
    ...section('records of the engine', difference.records.map(describeRecord)),
    ...difference.unpacked.flatMap(({ chainId, images, files }) =>
      describeFiles(`unpacked layer ${shorten(chainId)} of ${images.join(', ')}`, files),
    ),
    ...describeFiles(
      from.kind === 'data image' ? 'files outside the data root' : 'files',
      difference.files,
    ),
    ...describeFiles('files in the data root', difference.dataRoot),
    ...describeFiles('made by the engine itself, which is no difference', difference.engineMade),
    difference.isEqual ? 'equal' : 'different',
  ];
  return `${lines.join('\n')}\n`;
}

function describeTags({ added, removed, moved, tags }: Difference): string {
  if (tags.length === 0) return '';
  const alone = added.length + removed.length + moved.length === 0 ? ' alone' : '';
  return `; ${countOf(tags.length, 'tag')}${alone} ${tags.length === 1 ? 'differs' : 'differ'}`;
}

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;

function describeSide({ source, kind, images, packed, size, free, schema }: Side): string {
  const room =
    size === undefined ? '' : `, ${formatBytes(size)} with ${formatBytes(free ?? 0)} free`;
  const version = schema === undefined ? '' : `, schema ${schema}`;
  return `${source} (${kind}, ${countOf(images, 'image')}, ${formatBytes(packed)}${room}${version})`;
}

function describeImage(image: ContentImage): string {
  const [size] = imageSizes([image]);
  const bytes = size?.packed ?? size?.onDisk ?? size?.unpacked;
  const facts = [
    image.names.length === 0 ? '(no name)' : image.names.join(', '),
    short(imageKey(image) as ReturnType<typeof parseDigest>),
    image.platform ?? '',
    image.target ?? '',
    bytes === undefined ? '' : formatBytes(bytes),
  ];
  return facts.filter((fact) => fact !== '').join(' ');
}

function describeMoved(moved: MovedImage): string[] {
  const { from, to, names, config, layers, files, packages, sizes } = moved;
  const [old, now] = names;
  const key = (image: ContentImage): string => shorten(imageKey(image) ?? '');
  const bytes = sizes.map(({ packed, unpacked }) => packed ?? unpacked);
  const grown =
    bytes[0] === undefined || bytes[1] === undefined
      ? ''
      : `, ${formatBytes(bytes[0])} → ${formatBytes(bytes[1])}`;
  return [
    `~ image ${old === now ? old : `${old} → ${now}`}: ${key(from)} → ${key(to)}${grown}`,
    ...indented(section('config', config.map(describeField))),
    ...indented(describeLayers(layers)),
    ...indented(section('packages', packages.map(describePackage))),
    ...(files === undefined
      ? [`  files: not known, ${from.problem ?? to.problem ?? 'pins have digests alone'}`]
      : indented(isEmpty(files) ? ['files: the same'] : describeFiles('files', files))),
  ];
}

function describeLayers({ by, same, added, removed }: LayerChanges): string[] {
  if (by === 'nothing')
    return ['layers: not compared, one side has digests of blobs and the other diff IDs'];
  return [
    `layers by ${by}: ${same} the same, ${added.length} added, ${removed.length} removed`,
    ...removed.map((layer) => `  - ${describeLayer(layer)}`),
    ...added.map((layer) => `  + ${describeLayer(layer)}`),
  ];
}

function describeLayer({ digest, blob, packed }: LayerFacts): string {
  const size = packed === undefined ? '' : ` ${formatBytes(packed)}`;
  return `${shorten(digest)}${size}${blob === undefined ? '' : ` (blob ${shorten(blob)})`}`;
}

function describeField({ path, from, to }: FieldChange): string {
  return `${path}: ${describeValue(from)} → ${describeValue(to)}`;
}

function describeValue(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function describePackage({ database, name, from, to }: PackageChange): string {
  if (name === undefined) return `${database}: changed, and not read`;
  if (from === undefined) return `${database} + ${name} ${to ?? ''}`;
  return to === undefined
    ? `${database} - ${name} ${from}`
    : `${database} ${name}: ${from} → ${to}`;
}

const RECORDS: Readonly<Record<RecordChange['what'], string>> = {
  blob: 'blob',
  content: 'content of blob',
  label: 'label of blob',
  snapshot: 'snapshot',
  parent: 'parent of snapshot',
  index: 'index of',
  entry: 'entry',
};

function describeRecord({ what, key, from = 'none', to = 'none' }: RecordChange): string {
  return `${RECORDS[what]} ${key}: ${from} → ${to}`;
}

/** Nothing where there is nothing; what is not listed is counted. */
function describeFiles(title: string, files: FileDifferences): string[] {
  if (isEmpty(files)) return [];
  const { added, removed, changed, times, listed } = files;
  const counts = [
    [added, 'added'],
    [removed, 'removed'],
    [changed, 'changed'],
    [times, 'of another time alone'],
  ] as const;
  const said = counts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  const more = added + removed + changed + times - listed.length;
  return [
    `${title}: ${said.join(', ')}`,
    ...listed.map((file) => `  ${describeFile(file)}`),
    ...(more > 0 ? [`  … and ${more} more, which --all lists`] : []),
  ];
}

function describeFile({ kind, path, type, size, changes = [] }: FileDifference): string {
  const name = path === '' ? '(the root)' : path;
  if (kind !== 'changed') {
    const what = type === 'file' ? formatBytes(size ?? 0) : type;
    return `${SIGNS[kind]} ${name} (${what})`;
  }
  return `~ ${name}: ${changes.map(({ what, from, to }) => `${what} ${from} → ${to}`).join('; ')}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`${title}:`, ...lines.map((line) => `  ${line}`)];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function shorten(text: string): string {
  const digest = parseDigest(text);
  return digest === undefined ? text : short(digest);
}
