import { createHash, hash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack, type Pack } from 'tar-stream';

/**
 * Images made of nothing but a description: the same description always has the same bytes, so that
 * a test can name digests before anything is published.
 */
export type File =
  | string
  | Uint8Array
  | {
      readonly type?: 'file' | 'directory' | 'symlink' | 'link' | 'character-device' | 'fifo';
      readonly content?: string | Uint8Array;
      /** Where a symlink or hard link points. */
      readonly target?: string;
      /** Default 0644, directories 0755. */
      readonly mode?: number;
      readonly uid?: number;
      readonly gid?: number;
      /** Seconds since 1970. */
      readonly mtime?: number;
      readonly device?: { readonly major: number; readonly minor: number };
      readonly xattrs?: Readonly<Record<string, string>>;
    };

/** By path in the layer's tar, in the order of writing. `app/.wh.old` is a whiteout. */
export type Files = Readonly<Record<string, File>>;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { os: string; architecture: string; variant?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Layer {
  readonly blob: Uint8Array;
  readonly digest: string;
  readonly diffId: string;
  readonly compressed: boolean;
}

/** A manifest or an index with everything below it. */
export interface Content {
  /** Descriptor of the manifest or of the index. */
  readonly descriptor: Descriptor;
  /** Every blob by its digest, manifests and indexes too. */
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

export interface Image extends Content {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageDescription {
  /** `linux/arm/v7` */
  readonly platform: string;
  /** Layers made before are shared with other images. */
  readonly layers: readonly (Layer | Files)[];
  /** What the config's `config` holds: Cmd, Env, Labels, … */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Default oci; docker is manifest v2 schema 2. */
  readonly format?: 'oci' | 'docker';
}

const MEDIA_TYPES = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

/** The hour at which everything here was made: 2023-11-14T22:13:20Z. */
const EPOCH = 1_700_000_000;

export async function makeLayer(files: Files, options: { gzip?: boolean } = {}): Promise<Layer> {
  const tar = pack();
  const chunks: Buffer[] = [];
  const read = (async () => {
    for await (const chunk of tar) chunks.push(chunk as Buffer);
  })();
  for (const [name, file] of Object.entries(files)) {
    const entry = typeof file === 'string' || file instanceof Uint8Array ? { content: file } : file;
    const type = entry.type ?? 'file';
    const header: Parameters<Pack['entry']>[0] = {
      name: type === 'directory' ? `${name.replace(/\/$/, '')}/` : name,
      type,
      mode: entry.mode ?? (type === 'directory' ? 0o755 : 0o644),
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      mtime: new Date((entry.mtime ?? EPOCH) * 1000),
      ...(entry.target === undefined ? {} : { linkname: entry.target }),
      ...(entry.device === undefined
        ? {}
        : { devmajor: entry.device.major, devminor: entry.device.minor }),
      ...(entry.xattrs === undefined
        ? {}
        : {
            pax: Object.fromEntries(
              Object.entries(entry.xattrs).map(([key, value]) => [`SCHILY.xattr.${key}`, value]),
            ),
          }),
    };
    if (type === 'file') tar.entry(header, Buffer.from(entry.content ?? ''));
    else tar.entry(header);
  }
  tar.finalize();
  await read;
  const plain = Buffer.concat(chunks);
  const compressed = options.gzip !== false;
  const blob = compressed ? gzipSync(plain, { level: 6 }) : plain;
  return { blob, digest: digestOf(blob), diffId: digestOf(plain), compressed };
}

export async function makeImage(description: ImageDescription): Promise<Image> {
  const types = MEDIA_TYPES[description.format ?? 'oci'];
  const blobs = new Map<string, Uint8Array>();
  const layers: Layer[] = [];
  for (const layer of description.layers)
    layers.push(isLayer(layer) ? layer : await makeLayer(layer));
  const descriptors = layers.map((layer): Descriptor => {
    blobs.set(layer.digest, layer.blob);
    const mediaType = layer.compressed ? types.gzip : types.layer;
    return { mediaType, digest: layer.digest, size: layer.blob.length };
  });
  const created = new Date(EPOCH * 1000).toISOString();
  const config = addJson(blobs, types.config, {
    created,
    ...platformOf(description.platform),
    config: description.config ?? {},
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map((_, number) => ({ created, created_by: `layer ${number + 1}` })),
  });
  const descriptor = addJson(blobs, types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config,
    layers: descriptors,
  });
  return { descriptor, blobs, config, layers: descriptors };
}

/** A multi-platform index, or Docker's manifest list, in the order given. */
export function makeIndex(
  images: Readonly<Record<string, Image>>,
  format: 'oci' | 'docker' = 'oci',
): Content {
  const blobs = new Map<string, Uint8Array>();
  const manifests = Object.entries(images).map(([platform, image]) => {
    for (const [digest, blob] of image.blobs) blobs.set(digest, blob);
    return { ...image.descriptor, platform: platformOf(platform) };
  });
  const mediaType = MEDIA_TYPES[format].index;
  const descriptor = addJson(blobs, mediaType, { schemaVersion: 2, mediaType, manifests });
  return { descriptor, blobs };
}

/** Writes an OCI layout directory; `name` is the name in its index. */
export async function writeLayout(dir: string, content: Content, name = 'image'): Promise<void> {
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  for (const [digest, blob] of content.blobs)
    await writeFile(join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length)), blob);
  const annotations = { 'org.opencontainers.image.ref.name': name };
  const index = { schemaVersion: 2, manifests: [{ ...content.descriptor, annotations }] };
  await writeFile(join(dir, 'index.json'), JSON.stringify(index));
  await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

/** Writes the directory of skopeo's `dir:`, the one that keeps Docker's media types too. */
export async function writeDirectory(dir: string, content: Content): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'version'), 'Directory Transport Version: 1.1\n');
  for (const [digest, blob] of content.blobs) {
    const hex = digest.slice('sha256:'.length);
    if (digest === content.descriptor.digest) await writeFile(join(dir, 'manifest.json'), blob);
    // Which of the JSON documents are manifests of an index does not matter: all have both names.
    else if (blob[0] === 0x7b) await writeFile(join(dir, `${hex}.manifest.json`), blob);
    await writeFile(join(dir, hex), blob);
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** `length` bytes that gzip can't shrink, the same for the same seed. */
export function noise(seed: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(Math.ceil(length / 32) * 32);
  for (let at = 0; at < length; at += 32)
    bytes.write(hash('sha256', `${seed} ${at}`, 'binary'), at, 'binary');
  return bytes.subarray(0, length);
}

function isLayer(layer: Layer | Files): layer is Layer {
  return 'diffId' in layer && 'blob' in layer;
}

function platformOf(platform: string): { os: string; architecture: string; variant?: string } {
  const [os, architecture, variant] = platform.split('/');
  if (os === undefined || architecture === undefined) throw new Error(`no platform: ${platform}`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

function addJson(blobs: Map<string, Uint8Array>, mediaType: string, value: object): Descriptor {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = digestOf(bytes);
  blobs.set(digest, bytes);
  return { mediaType, digest, size: bytes.length };
}
