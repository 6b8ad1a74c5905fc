import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chainIds, containerdPaths } from '../../../src/data-root/containerd-store.ts';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { digestOf, hexOf } from '../../../src/model/digest.ts';
import type { FilePin, ImagePin, TargetPins } from '../../../src/model/pins.ts';
import { writeBolt } from '../data-root/write-bolt.ts';

/** A bucket that a test can still change. */
export interface MutableTree {
  [key: string]: string | Uint8Array | MutableTree;
}

/** A small, right data image in the making: a test spoils one thing of it and then writes it. */
export interface Draft {
  readonly pins: {
    target: TargetPins['target'];
    images: Record<string, ImagePin>;
    files: Record<string, FilePin>;
  };
  /** The namespace `moby` of meta.db, and `v1` of the snapshotter's database. */
  readonly moby: MutableTree;
  readonly own: MutableTree;
  /** Everything that becomes a file, by its path on the partition. */
  readonly disk: Map<string, { bytes: Uint8Array; mode: number }>;
  readonly blob: (digest: Digest) => string;
  readonly chains: Readonly<Record<string, readonly Digest[]>>;
}

export const DATA_ROOT = 'docker';
export const LABEL = 'test-data';
const PATHS = containerdPaths(DATA_ROOT, 'daemon');

/**
 * Two images on one base, one of them of another platform and with an index, and two extra files. With `twin` a third
 * one of the layers of the first, whose config has no label for them: as dockerd leaves it.
 */
export function draftImage(options: { readonly twin?: boolean } = {}): Draft {
  const disk: Draft['disk'] = new Map();
  const moby: MutableTree = {};
  const own: MutableTree = {};
  const images: Record<string, ImagePin> = {};
  const chains: Record<string, readonly Digest[]> = {};
  const blob = (digest: Digest): string => `${PATHS.blobs}/${hexOf(digest)}`;
  const add = (bytes: string, mediaType: string, labels: MutableTree = {}): Descriptor => {
    const digest = digestOf(bytes);
    disk.set(blob(digest), { bytes: Buffer.from(bytes), mode: 0o444 });
    bucket(moby, 'content', 'blob')[digest] = { size: varint(bytes.length), labels };
    return { digest, size: bytes.length, mediaType };
  };
  const ids = new Map<string, number>();
  const unpack = (chain: readonly Digest[]): void => {
    chain.forEach((chainId, i) => {
      if (ids.has(chainId)) return;
      const id = ids.size + 1;
      ids.set(chainId, id);
      const parent = chain[i - 1];
      const name = (of: Digest): string => `moby/${ids.get(of) ?? 0}/${of}`;
      bucket(moby, 'snapshots', 'overlayfs')[chainId] = {
        name: name(chainId),
        ...(parent === undefined ? {} : { parent }),
      };
      bucket(own, 'snapshots')[name(chainId)] = {
        id: Buffer.from([id]),
        kind: Buffer.from([3]),
        ...(parent === undefined ? {} : { parent: name(parent) }),
      };
      if (parent !== undefined)
        bucket(own, 'parents')[String.fromCharCode(ids.get(parent) ?? 0, 0, id)] = name(chainId);
      disk.set(`${PATHS.snapshots}/${id}/fs/file`, { bytes: Buffer.from('x'), mode: 0o644 });
    });
  };
  const image = (
    name: string,
    names: string[],
    layers: string[],
    withIndex: boolean,
    labelled = true,
  ): void => {
    const diffIds = layers.map((layer) => digestOf(`unpacked ${layer}`));
    const chain = chainIds(diffIds);
    const top = chain.at(-1);
    const config = add(
      JSON.stringify({ name, rootfs: { type: 'layers', diff_ids: diffIds } }),
      'application/vnd.oci.image.config.v1+json',
      top === undefined || !labelled ? {} : { 'containerd.io/gc.ref.snapshot.overlayfs': top },
    );
    const stored = layers.map((layer) => add(layer, 'application/vnd.oci.image.layer.v1.tar'));
    const manifest = add(
      JSON.stringify({ schemaVersion: 2, config, layers: stored }),
      'application/vnd.oci.image.manifest.v1+json',
      Object.fromEntries([
        ['containerd.io/gc.ref.content.config', config.digest],
        ...stored.map((layer, i) => [`containerd.io/gc.ref.content.l.${i}`, layer.digest]),
      ]) as MutableTree,
    );
    const index = withIndex
      ? add(
          JSON.stringify({ schemaVersion: 2, manifests: [manifest] }),
          'application/vnd.oci.image.index.v1+json',
          { 'containerd.io/gc.ref.content.m.0': manifest.digest },
        )
      : undefined;
    const target = index ?? manifest;
    for (const full of names)
      bucket(moby, 'images')[full] = {
        target: {
          digest: target.digest,
          mediatype: target.mediaType,
          size: varint(target.size),
        },
      };
    unpack(chain);
    chains[name] = chain;
    images[name] = {
      reference: `${names[0] ?? ''}@${target.digest}`,
      ...(index === undefined ? {} : { index: index.digest }),
      manifest,
      config,
      layers: stored,
      platform: 'linux/amd64',
      names,
    };
  };
  image('one', ['example.org/one:1', 'example.org/one:latest'], ['base', 'one'], false);
  image('two', ['example.org/two:2'], ['base', 'two', 'two'], true);
  if (options.twin === true) image('twin', ['example.org/twin:1'], ['base', 'one'], false, false);
  const files: Record<string, FilePin> = {};
  for (const [path, text, mode] of [
    ['extra/deep/file', 'text', '0640'],
    ['.empty', '', '0644'],
  ] as const) {
    disk.set(path, { bytes: Buffer.from(text), mode: parseInt(mode, 8) });
    files[path] = { sha256: digestOf(text), size: text.length, mode };
  }
  return {
    pins: { target: { platform: 'linux/amd64', set: {} }, images, files },
    moby,
    own,
    disk,
    blob,
    chains,
  };
}

/** Writes the draft to a new ext4 image in a directory of its own; `remove` takes both away. */
export function writeDraft(draft: Draft): { readonly image: string; readonly remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'stowage-verify-'));
  const image = join(directory, 'data.ext4');
  writeFileSync(image, '');
  truncateSync(image, 16 * 1024 * 1024);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', LABEL, image]);
  const disk = new Map(draft.disk);
  disk.set(PATHS.metaDb, {
    bytes: writeBolt({ v1: { version: Buffer.from([8]), moby: draft.moby } }),
    mode: 0o644,
  });
  disk.set(PATHS.snapshotsDb, { bytes: writeBolt({ v1: draft.own }), mode: 0o600 });
  // One debugfs for all of it: it gives files to root and keeps their modes.
  const script: string[] = [];
  const made = new Set<string>();
  [...disk].forEach(([path, { bytes, mode }], i) => {
    const source = join(directory, `source-${i}`);
    writeFileSync(source, bytes);
    chmodSync(source, mode);
    const names = path.split('/');
    for (let depth = 1; depth < names.length; depth++) {
      const parent = names.slice(0, depth).join('/');
      if (!made.has(parent)) script.push(`mkdir ${parent}`);
      made.add(parent);
    }
    script.push(`write ${source} ${path}`);
  });
  execFileSync('debugfs', ['-w', '-f', '-', image], {
    input: `${script.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return {
    image,
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The bucket at that path, made where it is missing. */
export function bucket(tree: MutableTree, ...path: string[]): MutableTree {
  return path.reduce((at, name) => (at[name] ??= {}) as MutableTree, tree);
}

/** Go's zigzag varint of a number that is not negative. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value * 2;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}
