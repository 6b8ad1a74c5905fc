import { withoutCredentials } from '../model/bundle-source.ts';

/** Texts that whoever made an image has put there: OCI image-spec, annotations.md. */
export interface ImageWords {
  readonly labels: Readonly<Record<string, string>>;
  readonly created: Date | undefined;
}

/** A config's labels, and the manifest's annotations where there is no label. Documents that are none say nothing. */
export function readLabels(manifest: Uint8Array, config: Uint8Array): ImageWords {
  const { annotations } = parse(manifest) as { annotations?: unknown };
  const { config: inner, created } = parse(config) as { config?: unknown; created?: unknown };
  const labels = (inner as { Labels?: unknown } | null | undefined)?.Labels;
  return { labels: { ...texts(annotations), ...texts(labels) }, created: timeOf(created) };
}

/** `org.opencontainers.image.<word>`; what is empty is not there. Passwords in addresses are hidden. */
export function labelOf(image: Pick<ImageWords, 'labels'>, word: string): string | undefined {
  const key = `org.opencontainers.image.${word}`;
  const value = Object.hasOwn(image.labels, key) ? image.labels[key]?.trim() : undefined;
  if (value === undefined || value === '') return undefined;
  return /^https?:/i.test(value) ? withoutCredentials(value) : value;
}

function parse(bytes: Uint8Array): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function texts(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, text]: [string, unknown]) =>
      typeof text === 'string' ? [[key, wellFormed(text)]] : [],
    ),
  );
}

/** JSON can have halves of characters, which no file in UTF-8 can. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** Undefined for what SPDX can't write, and for the year 1 with which some tools mean no time at all. */
function timeOf(text: unknown): Date | undefined {
  const time = typeof text === 'string' ? new Date(text) : undefined;
  const year = time?.getUTCFullYear() ?? Number.NaN;
  return year >= 1970 && year <= 9999 ? time : undefined;
}
