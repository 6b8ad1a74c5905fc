import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HostileCase } from './case.ts';
import { archive, LOWER } from './case.ts';
import type { Listing } from './listing.ts';
import { digestOf } from '../../rig/image.ts';

/** What an engine makes of an image: what each layer left, from the base up, or what it said instead. */
export type Outcome = { readonly layers: readonly Listing[] } | { readonly refused: string };

/** The outcomes of every case, as a real engine brought them about. */
export interface OutcomeRecord {
  readonly engine: string;
  /** What `LOWER` left, which stands for `lower` wherever it is the base. */
  readonly lower: Listing;
  readonly cases: Readonly<Record<string, Recorded>>;
}

export type Recorded = { readonly of: string } & (
  { readonly layers: readonly (Listing | 'lower')[] } | { readonly refused: string }
);

/** How an engine keeps layers: each way has code of its own to unpack them. */
export type StoreKind = 'containerd' | 'overlay2';
export const STORES: readonly StoreKind[] = ['containerd', 'overlay2'];

export function recordFile(store: StoreKind): string {
  const name = store === 'containerd' ? 'hostile-layers.json' : `hostile-layers-${store}.json`;
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}

const LOWER_ID = digestOf(archive(...LOWER));

export function readRecord(store: StoreKind): OutcomeRecord {
  return JSON.parse(readFileSync(recordFile(store), 'utf8')) as OutcomeRecord;
}

/** Of a case that changed since it was recorded, another one. How layers are compressed does not count: programs change. */
export function identityOf({ layers }: HostileCase): string {
  const hash = createHash('sha256');
  for (const { diffId, mediaType, blob } of layers) {
    const isPlain = !/\+(gzip|zstd)$/.test(mediaType);
    hash.update(`${mediaType} ${diffId} ${isPlain ? digestOf(blob) : ''}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

export function outcomeOf(record: OutcomeRecord, name: string): Outcome | undefined {
  const recorded = record.cases[name];
  if (recorded === undefined) return undefined;
  if ('refused' in recorded) return { refused: recorded.refused };
  return { layers: recorded.layers.map((layer) => (layer === 'lower' ? record.lower : layer)) };
}

export function toRecord(
  engine: string,
  outcomes: readonly (readonly [HostileCase, Outcome])[],
): OutcomeRecord {
  let lower: Listing = {};
  const cases = outcomes.map(([hostile, outcome]): [string, Recorded] => {
    const of = identityOf(hostile);
    if ('refused' in outcome) return [hostile.name, { of, refused: outcome.refused }];
    const layers = outcome.layers.map((listing, i) => {
      if (i > 0 || hostile.layers[0]?.diffId !== LOWER_ID) return listing;
      lower = listing;
      return 'lower' as const;
    });
    return [hostile.name, { of, layers }];
  });
  return { engine, lower, cases: Object.fromEntries(cases) };
}
