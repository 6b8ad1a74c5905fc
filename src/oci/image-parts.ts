import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import { isIndexType } from '../model/media-types.ts';

/** What an index or manifest points at, whatever its media types are: for those who must not lose any of it. */
export interface ImageParts {
  readonly kind: 'index' | 'manifest';
  /** Of an index the manifests, of a manifest config and layers, in their order. */
  readonly parts: readonly Descriptor[];
  readonly mediaType: string;
  /** What a referrer is about: OCI image-spec, manifest.md, "subject". */
  readonly subject?: Digest;
}

/** Undefined for what is neither: a config, a layer, a document that is damaged. */
export function readImageParts(bytes: Uint8Array): ImageParts | undefined {
  const value = parseObject(bytes);
  if (value === undefined) return undefined;
  const { mediaType, manifests, config, layers, subject } = value;
  const type = typeof mediaType === 'string' ? mediaType : '';
  const about = digestIn(subject);
  const rest = about === undefined ? {} : { subject: about };
  if (Array.isArray(manifests) && (type === '' || isIndexType(type))) {
    const parts = descriptorsIn(manifests);
    return parts === undefined ? undefined : { kind: 'index', parts, mediaType: type, ...rest };
  }
  if (!Array.isArray(layers) || config === undefined) return undefined;
  const parts = descriptorsIn([config, ...(layers as unknown[])]);
  return parts === undefined ? undefined : { kind: 'manifest', parts, mediaType: type, ...rest };
}

/** `os`, `architecture` and `variant` as an image's config states them. */
export function readStatedPlatform(bytes: Uint8Array): readonly [unknown, unknown, unknown] {
  const { os, architecture, variant } = parseObject(bytes) ?? {};
  return [os, architecture, variant];
}

/** What a config says that its layers unpack to; undefined where it is no image's config: OCI image-spec, config.md. */
export function readDiffIds(bytes: Uint8Array): readonly Digest[] | undefined {
  const rootfs = parseObject(bytes)?.['rootfs'] as { diff_ids?: unknown } | null | undefined;
  if (!Array.isArray(rootfs?.diff_ids)) return undefined;
  const ids = rootfs.diff_ids.map(parseDigest);
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

function descriptorsIn(values: readonly unknown[]): Descriptor[] | undefined {
  const found = values.map(descriptorIn);
  return found.every((descriptor) => descriptor !== undefined) ? found : undefined;
}

function descriptorIn(value: unknown): Descriptor | undefined {
  const digest = digestIn(value);
  const { mediaType, size } = (value ?? {}) as { mediaType?: unknown; size?: unknown };
  return digest !== undefined && typeof size === 'number' && Number.isSafeInteger(size) && size >= 0
    ? { digest, size, mediaType: typeof mediaType === 'string' ? mediaType : '' }
    : undefined;
}

function digestIn(value: unknown): Digest | undefined {
  return parseDigest((value as { digest?: unknown } | null | undefined)?.digest);
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
