import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Content, Entry, Timestamp } from '../../ext4/entry.ts';
import { digestFromHex, digestOf } from '../../model/digest.ts';
import type { BlobBad } from '../../model/failure.ts';
import { errorCode } from '../../model/file-failure.ts';
import type { FilePin } from '../../model/pins.ts';
import type { Store } from '../../store/store.ts';
import type { BuildRequest } from '../loader.ts';
import { LayerFailure } from './layer-items.ts';

/** A file of the bundle, or a directory that one is in. */
export interface BundleItem {
  readonly entry: Entry;
  readonly content?: Content;
}

/**
 * The bundle's files, root's, in the order of their paths, each after the directories that it needs (0755). `known` are the
 * paths of directories that are there. Reading their content throws a `LayerFailure` where it is not the pinned one,
 * and the signal's reason where that is aborted.
 */
export function* bundleItems(
  { pins, wanted, store }: BuildRequest,
  known: ReadonlySet<string>,
  { mtime, signal }: { readonly mtime: Timestamp; readonly signal: AbortSignal },
): Generator<BundleItem, void> {
  const there = new Set(known);
  const common = { uid: 0, gid: 0, mtime };
  const files = Object.entries(pins.files).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [path, pin] of files) {
    const names = path.split('/');
    for (let depth = 1; depth < names.length; depth++) {
      const directory = names.slice(0, depth).join('/');
      if (there.has(directory)) continue;
      there.add(directory);
      const entry = { type: 'directory', path: Buffer.from(directory), mode: 0o755 } as const;
      yield { entry: { ...entry, ...common } };
    }
    const mode = parseInt(pin.mode, 8);
    const { size } = pin;
    const file = wanted.files[path];
    // Stale pins were refused before: another content here is a bug.
    if (file?.kind === 'content' && digestOf(file.content) !== pin.sha256)
      throw new Error(`${path} is not as pinned`);
    yield {
      entry: { type: 'file', path: Buffer.from(path), mode, size, ...common },
      content: file?.kind === 'content' ? file.content : checked(path, { pin, store, signal }),
    };
  }
}

async function* checked(
  owner: string,
  {
    pin,
    store,
    signal,
  }: { readonly pin: FilePin; readonly store: Store; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void> {
  const bad = (problem: BlobBad['problem']): LayerFailure =>
    new LayerFailure({
      ...{ reason: 'blob-bad', problem, digest: pin.sha256, owner },
      store: store.directory,
    });
  const hash = createHash('sha256');
  let size = 0;
  try {
    signal.throwIfAborted();
    const source = createReadStream(store.filePath(pin.sha256)) as AsyncIterable<Uint8Array>;
    for await (const chunk of source) {
      size += chunk.length;
      if (size > pin.size) throw bad('wrong size');
      hash.update(chunk);
      yield chunk;
      signal.throwIfAborted();
    }
  } catch (error) {
    if (signal.aborted || errorCode(error) === undefined) throw error;
    throw bad(errorCode(error) === 'ENOENT' ? 'missing' : 'unreadable');
  }
  if (size !== pin.size) throw bad('wrong size');
  if (digestFromHex(hash.digest('hex')) !== pin.sha256) throw bad('wrong digest');
}
