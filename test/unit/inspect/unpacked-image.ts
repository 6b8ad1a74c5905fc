import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chainIds, containerdPaths } from '../../../src/data-root/containerd-store.ts';
import type { Entry } from '../../../src/ext4/entry.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { parseDigest } from '../../../src/model/digest.ts';
import { formatPins } from '../../../src/model/pins-document.ts';
import type { FilePin, ImagePin, TargetPins } from '../../../src/model/pins.ts';
import type { File, Files, Image, Layer } from '../../rig/image.ts';
import { makeImage, makeLayer } from '../../rig/image.ts';
import { writeBolt } from '../data-root/write-bolt.ts';
import type { Added } from '../ext4/writer/write-image.ts';
import { must, writeImage } from '../ext4/writer/write-image.ts';
import type { MutableTree } from '../verify/data-image.ts';
import { bucket, varint } from '../verify/data-image.ts';

/** A data image with images unpacked from real layers, by rules written down here a second time. */
export interface UnpackedDraft {
  /** Everything on the partition by its path; parents are made where they are missing. */
  readonly entries: Map<string, Added>;
  readonly moby: MutableTree;
  readonly own: MutableTree;
  readonly pins: TargetPins & {
    readonly images: Record<string, ImagePin>;
    readonly files: Record<string, FilePin>;
  };
  /** Paths on the partition. */
  readonly blobPath: (digest: string) => string;
  readonly snapshotPath: (image: string, layer: number) => string;
  readonly images: Readonly<Record<string, Image>>;
}

export type Layers = readonly Files[];

export const PATHS = containerdPaths('docker', 'daemon');
export const MADE = 1_700_000_000;

/** Images by name (`one` is `example.org/one:1`), each with its layers from the base up. */
export async function draftUnpacked(
  images: Readonly<Record<string, Layers>>,
  options: { readonly config?: Readonly<Record<string, unknown>>; readonly gzip?: boolean } = {},
): Promise<UnpackedDraft> {
  const entries = new Map<string, Added>();
  const [moby, own]: MutableTree[] = [{}, {}];
  if (moby === undefined || own === undefined) throw new Error('unreachable');
  const pins: Record<string, ImagePin> = {};
  const made: Record<string, Image> = {};
  const ids = new Map<string, number>();
  const chains: Record<string, Digest[]> = {};
  const blobPath = (digest: string): string => `${PATHS.blobs}/${digest.slice('sha256:'.length)}`;
  for (const [name, files] of Object.entries(images)) {
    const layers: Layer[] = [];
    for (const layer of files) layers.push(await makeLayer(layer, { gzip: options.gzip ?? true }));
    const image = await makeImage({
      platform: 'linux/amd64',
      layers,
      config: { Cmd: [`/${name}`], ...options.config },
    });
    made[name] = image;
    const diffIds = layers.map(({ diffId }) => digest(diffId));
    const chain = chainIds(diffIds);
    chains[name] = chain;
    for (const [key, bytes] of image.blobs) {
      put(entries, blobPath(key), { content: bytes, mode: 0o444 });
      const record = bucket(moby, 'content', 'blob', key);
      record['size'] = varint(bytes.length);
    }
    const labels = (of: string, more: MutableTree): void => {
      Object.assign(bucket(moby, 'content', 'blob', of, 'labels'), more);
    };
    labels(image.config.digest, { 'containerd.io/gc.ref.snapshot.overlayfs': chain.at(-1) ?? '' });
    labels(image.descriptor.digest, {
      'containerd.io/gc.ref.content.config': image.config.digest,
      ...Object.fromEntries(
        image.layers.map((layer, i) => [`containerd.io/gc.ref.content.l.${i}`, layer.digest]),
      ),
    });
    bucket(moby, 'images')[`example.org/${name}:1`] = {
      target: {
        digest: image.descriptor.digest,
        mediatype: image.descriptor.mediaType,
        size: varint(image.descriptor.size),
      },
    };
    chain.forEach((chainId, i) => {
      if (ids.has(chainId)) return;
      const id = ids.size + 1;
      ids.set(chainId, id);
      const parent = chain[i - 1];
      const record = (of: Digest): string => `moby/${ids.get(of) ?? 0}/${of}`;
      bucket(moby, 'snapshots', 'overlayfs')[chainId] = {
        name: record(chainId),
        ...(parent === undefined ? {} : { parent }),
      };
      bucket(own, 'snapshots')[record(chainId)] = {
        id: Buffer.from([id]),
        kind: Buffer.from([3]),
        ...(parent === undefined ? {} : { parent: record(parent) }),
      };
      if (parent !== undefined)
        bucket(own, 'parents')[String.fromCharCode(ids.get(parent) ?? 0, 0, id)] = record(chainId);
      unpack(entries, `${PATHS.snapshots}/${id}`, files[i] ?? {});
    });
    pins[name] = {
      reference: `example.org/${name}:1@${image.descriptor.digest}`,
      manifest: descriptor(image.descriptor),
      config: descriptor(image.config),
      layers: image.layers.map(descriptor),
      platform: 'linux/amd64',
      names: [`example.org/${name}:1`],
    };
  }
  return {
    ...{ entries, moby, own, blobPath, images: made },
    pins: { target: { platform: 'linux/amd64', set: {} }, images: pins, files: {} },
    snapshotPath: (image, layer) =>
      `${PATHS.snapshots}/${ids.get(chains[image]?.[layer] ?? '') ?? 0}`,
  };
}

/** Writes the partition, of `size` bytes, as `<name>.ext4`. */
export async function writeUnpacked(
  draft: UnpackedDraft,
  dir: string,
  name: string,
  size = 8 * 1024 * 1024,
): Promise<string> {
  put(draft.entries, PATHS.metaDb, {
    content: writeBolt({ v1: { version: Buffer.from([8]), moby: draft.moby } }),
  });
  put(draft.entries, PATHS.snapshotsDb, { content: writeBolt({ v1: draft.own }), mode: 0o600 });
  const path = join(dir, `${name}.ext4`);
  const sorted = [...draft.entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, added]) => added);
  const isLink = ([{ type }]: Added): boolean => type === 'hard link';
  const added = [...sorted.filter((one) => !isLink(one)), ...sorted.filter(isLink)];
  must(await writeImage(path, { label: 'test-data', size }, added));
  return path;
}

export function writePins(draft: UnpackedDraft, dir: string, name: string): string {
  const path = join(dir, `${name}.json`);
  writeFileSync(path, formatPins({ targets: { 'linux/amd64': draft.pins } }));
  return path;
}

/** Puts a file there, and the directories that lead to it. */
export function put(
  entries: Map<string, Added>,
  path: string,
  file: Exclude<File, string | Uint8Array>,
): void {
  const names = path.split('/');
  for (let depth = 1; depth < names.length; depth++) {
    const parent = names.slice(0, depth).join('/');
    if (!entries.has(parent)) entries.set(parent, [{ ...common(parent, {}), type: 'directory' }]);
  }
  const mode = file.mode ?? (file.type === 'directory' ? 0o755 : 0o644);
  const of = { ...common(path, file), mode };
  switch (file.type ?? 'file') {
    case 'directory':
      entries.set(path, [{ ...of, type: 'directory' }]);
      break;
    case 'symlink':
      entries.set(path, [
        { ...of, type: 'symlink', mode: 0o777, target: Buffer.from(file.target ?? '') },
      ]);
      break;
    case 'link':
      throw new Error('hard links are added as entries');
    case 'character-device':
      entries.set(path, [
        {
          ...of,
          type: 'character device',
          ...(file.device ?? { major: 0, minor: 0 }),
        },
      ]);
      break;
    case 'fifo':
      entries.set(path, [{ ...of, type: 'fifo' }]);
      break;
    case 'file': {
      const content = Buffer.from(file.content ?? '');
      entries.set(path, [{ ...of, type: 'file', size: content.length }, content]);
    }
  }
}

function common(
  path: string,
  file: Exclude<File, string | Uint8Array>,
): Omit<Extract<Entry, { type: 'directory' }>, 'type'> {
  return {
    path: Buffer.from(path),
    mode: 0o755,
    uid: file.uid ?? 0,
    gid: file.gid ?? 0,
    mtime: { seconds: file.mtime ?? MADE, nanoseconds: 0 },
    ...(file.xattrs === undefined
      ? {}
      : {
          xattrs: new Map(
            Object.entries(file.xattrs).map(([key, value]) => [key, Buffer.from(value)]),
          ),
        }),
  };
}

function unpack(entries: Map<string, Added>, snapshot: string, files: Files): void {
  put(entries, `${snapshot}/work`, { type: 'directory', mode: 0o711 });
  unpackTo(entries, `${snapshot}/fs`, files);
}

/** Of plain layers: whiteouts and marks in them, no links through directories. */
export function unpackTo(entries: Map<string, Added>, root: string, files: Files): void {
  put(entries, root, { type: 'directory' });
  for (const [path, given] of Object.entries(files)) {
    const file =
      typeof given === 'string' || given instanceof Uint8Array ? { content: given } : given;
    const at = `${root}/${path.replace(/\/$/, '')}`;
    const name = at.slice(at.lastIndexOf('/') + 1);
    const directory = at.slice(0, at.lastIndexOf('/'));
    if (name === '.wh..wh..opq')
      put(entries, directory, { type: 'directory', xattrs: { 'trusted.overlay.opaque': 'y' } });
    else if (name.startsWith('.wh.'))
      put(entries, `${directory}/${name.slice(4)}`, {
        type: 'character-device',
        mode: 0,
        mtime: 1,
      });
    else if (file.type === 'link')
      entries.set(at, [
        {
          type: 'hard link',
          path: Buffer.from(at),
          target: Buffer.from(`${root}/${file.target ?? ''}`),
        },
      ]);
    else put(entries, at, file);
  }
}

function digest(text: string): Digest {
  const parsed = parseDigest(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

function descriptor(of: { mediaType: string; digest: string; size: number }): ImagePin['config'] {
  return { mediaType: of.mediaType, digest: digest(of.digest), size: of.size };
}
