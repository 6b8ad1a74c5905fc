import { isDeepStrictEqual } from 'node:util';
import type { Position } from './bundle.ts';
import type { RawBundle, RawFile, RawImage } from './bundle-rules.ts';
import type { BundlesDisagree } from './failure.ts';
import { formatPlatform, parsePlatform } from './platform.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** One document, checked, with the means to say where its parts are. */
export interface CheckedBundle {
  readonly file: string;
  readonly raw: RawBundle;
  readonly at: (path: readonly string[]) => Position;
}

export type Placed<T> = T & { readonly at: Position };

/** The union of several documents; defaults are not filled in yet. `arch` is keyed by normalised platforms. */
export interface MergedBundle {
  readonly vars: Readonly<Record<string, string>>;
  readonly arch: Readonly<Record<string, string>>;
  readonly catalog?: { readonly text: string; readonly at: Position };
  readonly partition: NonNullable<RawBundle['partition']>;
  readonly engine: NonNullable<RawBundle['engine']>;
  /** Where the parts of `partition` and `engine` are, by their paths. */
  readonly writtenAt: Readonly<Record<string, Position>>;
  readonly images: Readonly<Record<string, Placed<RawImage>>>;
  readonly files: Readonly<Record<string, Placed<RawFile>>>;
}

/**
 * Merges documents name by name: what only one has is taken, the same content twice is fine, different content under
 * one name is a failure that names both files.
 */
export function mergeBundles(
  documents: readonly CheckedBundle[],
): Result<MergedBundle, BundlesDisagree> {
  let disagreement: BundlesDisagree | undefined;

  const union = <T>(
    section: string,
    entriesOf: (raw: RawBundle) => Readonly<Record<string, T>> | undefined,
  ): [string, T, Position][] => {
    const found = new Map<string, { value: T; document: CheckedBundle; at: Position }>();
    for (const document of documents) {
      for (const [name, value] of Object.entries(entriesOf(document.raw) ?? {})) {
        const earlier = found.get(name);
        if (earlier === undefined) {
          found.set(name, { value, document, at: document.at([section, name]) });
        } else if (!isDeepStrictEqual(earlier.value, value)) {
          disagreement ??= {
            reason: 'bundles-disagree',
            path: section === '' ? name : `${section}.${name}`,
            files: [earlier.document.file, document.file],
          };
        }
      }
    }
    return [...found].map(([name, { value, at }]) => [name, value, at]);
  };
  const plain = <T>(entries: readonly (readonly [string, T, Position])[]): Record<string, T> =>
    Object.fromEntries(entries.map(([name, value]) => [name, value]));
  const placed = <T extends object>(
    entries: readonly (readonly [string, T, Position])[],
  ): Record<string, Placed<T>> =>
    Object.fromEntries(entries.map(([name, value, at]) => [name, { ...value, at }]));

  const catalog = union<string>('', ({ catalog: text }) =>
    text === undefined ? {} : { catalog: text },
  )[0];
  const engine = union<unknown>('engine', (raw) => raw.engine);
  const partition = union<unknown>('partition', (raw) => raw.partition);
  const writtenAt = Object.fromEntries([
    ...partition.map(([name, , at]) => [`partition.${name}`, at] as const),
    ...engine.map(([name, , at]) => [`engine.${name}`, at] as const),
  ]);
  const merged: MergedBundle = {
    vars: plain(union('vars', (raw) => raw.vars)),
    arch: plain(union('arch', (raw) => byPlatform(raw.arch))),
    ...(catalog === undefined ? {} : { catalog: { text: catalog[1], at: catalog[2] } }),
    partition: plain(partition),
    engine: plain(engine),
    writtenAt,
    images: placed(union('images', (raw) => raw.images)),
    files: placed(union('files', (raw) => raw.files)),
  };
  return disagreement === undefined ? ok(merged) : fail(disagreement);
}

function byPlatform(arch: RawBundle['arch']): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(arch ?? {}).map(([key, word]) => {
      const platform = parsePlatform(key);
      return [platform.ok ? formatPlatform(platform.value) : key, word];
    }),
  );
}
