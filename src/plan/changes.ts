import type { ChangeSummary, ScratchReason } from '../model/build-plan.ts';
import type { Digest } from '../model/digest.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import type { BuildSettings } from './fingerprint.ts';
import { canonicalJson } from './fingerprint.ts';

/** What must be done to a finished data image to make it another one. */
export interface Changes {
  readonly images: ImageChanges;
  readonly files: FileChanges;
  /** The new label, where it is another. */
  readonly label?: string;
  readonly summary: ChangeSummary;
}

export interface ImageChanges {
  /** To be loaded: not there under any name. By their names in the bundle. */
  readonly load: Readonly<Record<string, ImagePin>>;
  /** There, and not wanted any more. */
  readonly remove: readonly NamedImage[];
  /** There, and wanted under other names. */
  readonly rename: readonly (NamedImage & { readonly newNames: readonly string[] })[];
}

/** An image in the engine and all its names. */
export interface NamedImage {
  /** What its names point at: its manifest, or the index that was kept. */
  readonly digest: Digest;
  readonly names: readonly string[];
}

/** Paths on the partition: none in the data root, where bundles may have no files. */
export interface FileChanges {
  readonly write: readonly string[];
  readonly remove: readonly string[];
}

/** What an earlier build made. */
export interface EarlierBuild {
  readonly settings: BuildSettings;
  readonly pins: TargetPins;
}

/** More than this part of all bytes to be loaded, and a build from scratch is as fast. */
const MOST = 0.5;

/** What is to be done, or why it is better to begin anew. Nothing to be done is no failure: all lists are empty. */
export function changesBetween(
  before: EarlierBuild,
  after: EarlierBuild,
): { readonly changes: Changes } | { readonly unusable: ScratchReason } {
  const settings = differingSettings(before.settings, after.settings);
  if (settings.length > 0) return { unusable: { what: 'settings', settings } };
  const images = imageChanges(before.pins, after.pins);
  const files = fileChanges(before.pins, after.pins);
  const known = layersOf(Object.values(before.pins.images));
  const bytes = sum([...layersOf(Object.values(images.load))].filter(([d]) => !known.has(d)));
  const of = sum(layersOf(Object.values(after.pins.images)));
  if (bytes > of * MOST) return { unusable: { what: 'most-changed', bytes, of } };
  const { label } = after.settings.partition;
  const relabel = label !== before.settings.partition.label;
  return {
    changes: {
      images,
      files,
      ...(relabel ? { label } : {}),
      summary: summarize(before.pins, after.pins, files, relabel),
    },
  };
}

export function isNothing({ images, files, label }: Changes): boolean {
  const lists = [Object.keys(images.load), images.remove, images.rename, files.write, files.remove];
  return label === undefined && lists.every((list) => list.length === 0);
}

/** The label alone can be changed afterwards. */
function differingSettings(before: BuildSettings, after: BuildSettings): (keyof BuildSettings)[] {
  const names: readonly (keyof BuildSettings)[] = [
    'loader',
    'stowage',
    'dind',
    'engine',
    'partition',
    'epoch',
  ];
  const comparable = (settings: BuildSettings, name: keyof BuildSettings): string =>
    canonicalJson(
      name === 'partition' ? { ...settings.partition, label: '' } : (settings[name] ?? null),
    );
  return names.filter((name) => comparable(before, name) !== comparable(after, name));
}

export function imageChanges(before: TargetPins, after: TargetPins): ImageChanges {
  const old = byContent(before);
  const wanted = byContent(after);
  const load: Record<string, ImagePin> = {};
  for (const [name, pin] of Object.entries(after.images))
    if (!old.has(contentKey(pin))) load[name] = pin;
  const remove: NamedImage[] = [];
  const rename: ImageChanges['rename'][number][] = [];
  for (const [key, image] of old) {
    const now = wanted.get(key);
    if (now === undefined) remove.push(image);
    else if (now.names.join(' ') !== image.names.join(' '))
      rename.push({ ...image, newNames: now.names });
  }
  return { load, remove, rename };
}

/** Entries of one image are one, with the names of all. */
function byContent(pins: TargetPins): Map<string, NamedImage> {
  const images = new Map<string, NamedImage>();
  for (const pin of Object.values(pins.images)) {
    const key = contentKey(pin);
    const names = [...(images.get(key)?.names ?? []), ...pin.names];
    images.set(key, {
      digest: (pin.keptIndex ?? pin.manifest).digest,
      names: [...new Set(names)].sort(),
    });
  }
  return images;
}

function contentKey(pin: ImagePin): string {
  return `${pin.manifest.digest} ${pin.keptIndex?.digest ?? ''}`;
}

function fileChanges(before: TargetPins, after: TargetPins): FileChanges {
  const write = Object.entries(after.files).flatMap(([path, file]) => {
    const old = Object.hasOwn(before.files, path) ? before.files[path] : undefined;
    return old?.sha256 === file.sha256 && old.mode === file.mode ? [] : [path];
  });
  const remove = Object.keys(before.files).filter((path) => !Object.hasOwn(after.files, path));
  return { write, remove };
}

function summarize(
  before: TargetPins,
  after: TargetPins,
  files: FileChanges,
  label: boolean,
): ChangeSummary {
  const names = Object.keys(after.images);
  const pair = (name: string): readonly [ImagePin | undefined, ImagePin | undefined] => [
    Object.hasOwn(before.images, name) ? before.images[name] : undefined,
    after.images[name],
  ];
  const differ = (name: string, key: (pin: ImagePin) => string): boolean => {
    const [old, now] = pair(name);
    return old !== undefined && now !== undefined && key(old) !== key(now);
  };
  const changed = names.filter((name) => differ(name, contentKey));
  return {
    images: names.length,
    changed,
    added: names.filter((name) => pair(name)[0] === undefined),
    removed: Object.keys(before.images).filter((name) => !Object.hasOwn(after.images, name)),
    renamed: names.filter(
      (name) => !changed.includes(name) && differ(name, (pin) => [...pin.names].sort().join(' ')),
    ),
    files: [...new Set([...files.write, ...files.remove])].sort(),
    label,
  };
}

function layersOf(images: readonly ImagePin[]): Map<Digest, number> {
  return new Map(
    images.flatMap((image) => image.layers.map(({ digest, size }) => [digest, size] as const)),
  );
}

function sum(layers: Iterable<readonly [Digest, number]>): number {
  return [...layers].reduce((total, [, size]) => total + size, 0);
}
