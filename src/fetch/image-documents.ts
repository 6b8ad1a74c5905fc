import type { Descriptor } from '../model/descriptor.ts';
import { parseDigest } from '../model/digest.ts';
import {
  isAttestation,
  isConfigType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
} from '../model/media-types.ts';
import type { Platform } from '../model/platform.ts';
import { platformOf } from '../model/platform.ts';

/** What a registry serves under a name: OCI image-spec image-index.md, manifest.md; Docker's v2, schema 2. */
export type ImageDocument =
  | { readonly kind: 'index'; readonly mediaType: string; readonly entries: readonly IndexEntry[] }
  | {
      readonly kind: 'manifest';
      readonly mediaType: string;
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
    }
  /** `detail` says what it is instead, as a phrase. */
  | { readonly kind: 'unsupported'; readonly detail: string };

export interface IndexEntry extends Descriptor {
  /** Undefined for what is none of ours: no Linux, or not stated. */
  readonly platform: Platform | undefined;
  /** As it is written there: for messages. */
  readonly stated: string;
  readonly isAttestation: boolean;
}

/** Reads an index or manifest; what it is not sure of, it calls unsupported. */
export function readImageDocument(bytes: Uint8Array): ImageDocument {
  const value = parseObject(bytes);
  if (value === undefined) return unsupported(`it is no JSON document: ${firstCharacters(bytes)}`);
  const mediaType = mediaTypeOf(value);
  if (isIndexType(mediaType)) {
    const entries = arrayOf(value['manifests'], entryOf);
    return entries === undefined
      ? unsupported('its index has an entry that is no descriptor')
      : { kind: 'index', mediaType, entries };
  }
  if (isManifestType(mediaType)) {
    const config = descriptorOf(value['config']);
    const layers = arrayOf(value['layers'], descriptorOf);
    if (config === undefined || layers === undefined)
      return unsupported('its manifest has a part that is no descriptor');
    if (!isConfigType(config.mediaType))
      return unsupported(`it is no image: its config is of type ${config.mediaType}`);
    const foreign = layers.find((layer) => layerCompression(layer.mediaType) === undefined);
    if (foreign !== undefined) return unsupported(`it has a layer of type ${foreign.mediaType}`);
    return { kind: 'manifest', mediaType, config, layers };
  }
  if (isSchema1Type(mediaType) || value['schemaVersion'] === 1)
    return unsupported('its manifest is of schema 1; push the image again with a current tool');
  return unsupported(`it is of the media type ${mediaType === '' ? 'none' : mediaType}`);
}

/** The platform that a config states; `variant` is undefined where it states none. */
export function readConfigPlatform(bytes: Uint8Array): {
  readonly platform: Platform | undefined;
  readonly stated: string;
  readonly hasVariant: boolean;
} {
  const { os, architecture, variant } = parseObject(bytes) ?? {};
  const stated = [os, architecture, variant].filter(
    (part) => typeof part === 'string' && part !== '',
  );
  return {
    platform: platformOf(os, architecture, variant),
    stated: stated.length === 0 ? 'nothing' : stated.join('/'),
    hasVariant: typeof variant === 'string' && variant !== '',
  };
}

function unsupported(detail: string): ImageDocument {
  return { kind: 'unsupported', detail };
}

/** The OCI types may leave `mediaType` out; then the members tell. */
function mediaTypeOf(value: Readonly<Record<string, unknown>>): string {
  if (typeof value['mediaType'] === 'string') return value['mediaType'];
  if (value['schemaVersion'] !== 2) return '';
  if (Array.isArray(value['manifests'])) return 'application/vnd.oci.image.index.v1+json';
  return Array.isArray(value['layers']) ? 'application/vnd.oci.image.manifest.v1+json' : '';
}

function entryOf(value: unknown): IndexEntry | undefined {
  const descriptor = descriptorOf(value);
  if (descriptor === undefined) return undefined;
  const entry = value as {
    platform?: { os?: string; architecture?: string; variant?: string };
    annotations?: Record<string, string>;
  };
  const { os, architecture, variant } = entry.platform ?? {};
  return {
    ...descriptor,
    platform: platformOf(os, architecture, variant),
    stated: [os, architecture, variant]
      .filter((part) => part !== undefined && part !== '')
      .join('/'),
    isAttestation: isAttestation(entry),
  };
}

function descriptorOf(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined;
  const digest = parseDigest(value['digest']);
  const { mediaType, size } = value;
  return digest !== undefined &&
    typeof mediaType === 'string' &&
    typeof size === 'number' &&
    Number.isSafeInteger(size) &&
    size >= 0
    ? { digest, mediaType, size }
    : undefined;
}

function arrayOf<T>(value: unknown, read: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(read);
  return items.every((item) => item !== undefined) ? items : undefined;
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function firstCharacters(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, 60)).toString('utf8');
  return JSON.stringify(text.replace(/\s+/g, ' '));
}
