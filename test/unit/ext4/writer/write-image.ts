import type { Content, Entry } from '../../../../src/ext4/entry.ts';
import { createImage } from '../../../../src/ext4/create-image.ts';
import type { Finished, ImageOptions } from '../../../../src/ext4/image-writer.ts';
import type { Failure } from '../../../../src/model/failure.ts';
import type { Result } from '../../../../src/model/result.ts';

export const OPTIONS: ImageOptions = {
  uuid: '01234567-89ab-4cde-8f01-23456789abcd',
  hashSeed: 'fedcba98-7654-4321-8fed-cba987654321',
  epoch: 1_700_000_000,
};

export const ATTRIBUTES = {
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 1_600_000_000, nanoseconds: 0 },
} as const;

/** An entry, and the content of a file. */
export type Added = readonly [Entry, Content?];

/** Writes an image of these entries; what was begun is gone where that fails. */
export async function writeImage(
  path: string,
  options: Partial<ImageOptions>,
  added: Iterable<Added> | AsyncIterable<Added>,
): Promise<Result<Finished>> {
  const writer = await createImage(path, { ...OPTIONS, ...options });
  if (!writer.ok) return writer;
  try {
    for await (const [entry, content] of added) {
      const result = await writer.value.add(entry, content);
      if (!result.ok) return result;
    }
    return await writer.value.finish();
  } finally {
    await writer.value.abandon();
  }
}

export function must<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.failure));
  return result.value;
}

export function failureOf(result: Result<unknown>): Failure {
  if (result.ok) throw new Error('it succeeded');
  return result.failure;
}

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function file(path: string, content: Uint8Array): Added {
  return [{ type: 'file', path: bytes(path), ...ATTRIBUTES, size: content.length }, content];
}

export function directory(path: string): Added {
  return [{ type: 'directory', path: bytes(path), ...ATTRIBUTES, mode: 0o755 }];
}

/** Bytes of which no block is zero, the same for the same length. */
export function noise(length: number): Buffer {
  const noise = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) noise[i] = 1 + ((i * 31 + (i >>> 8)) % 255);
  return noise;
}
