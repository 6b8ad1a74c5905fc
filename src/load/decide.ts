import type { BuildPlan, ScratchReason } from '../model/build-plan.ts';
import type { Digest } from '../model/digest.ts';
import type { Changes } from '../plan/changes.ts';
import { changesBetween, isNothing } from '../plan/changes.ts';
import type { BuildSettings } from '../plan/fingerprint.ts';
import { fingerprintOf } from '../plan/fingerprint.ts';
import type { FinishedImage } from '../store/finished.ts';
import { findFinished } from '../store/finished.ts';
import { dataDocumentOf } from './check-inputs.ts';
import { formatDataDocument } from './data-document.ts';
import type { LastResult } from './last-result.ts';
import { readLastResult } from './last-result.ts';
import type { BuildRequest } from './loader.ts';

/** How a build gets to its result, with what it needs for that. */
export type Decision =
  | { readonly how: 'nothing'; readonly last: LastResult }
  | { readonly how: 'document'; readonly last: LastResult; readonly text: string }
  | { readonly how: 'copy'; readonly finished: FinishedImage }
  | { readonly how: 'update'; readonly last: LastResult; readonly changes: Changes }
  | { readonly how: 'scratch'; readonly why: ScratchReason };

export interface ReuseOptions {
  readonly output: string;
  readonly settings: BuildSettings;
  readonly fromScratch: boolean;
  /** Finished images are taken from the store, and left there. */
  readonly share: boolean;
  /** As the loader's. */
  readonly updates?: false | undefined;
}

/** The shortest way that is sure. Reads a few small files and changes nothing. */
export async function decide(
  request: BuildRequest,
  fingerprint: Digest,
  options: ReuseOptions,
): Promise<Decision> {
  if (options.fromScratch) return { how: 'scratch', why: { what: 'asked' } };
  const own = await decideByLast(request, options);
  if (own.how === 'nothing' || own.how === 'document' || !options.share) return own;
  const finished = await findFinished(request.store, fingerprint);
  return finished?.state === 'good' ? { how: 'copy', finished } : own;
}

/** By the output alone. */
export async function decideByLast(
  request: BuildRequest,
  { output, settings, updates }: ReuseOptions,
): Promise<Decision> {
  const last = await readLastResult(output, dataDocumentOf(output));
  if (typeof last === 'string') return { how: 'scratch', why: { what: last } };
  const { document } = last;
  if (document.settings === undefined) return { how: 'scratch', why: { what: 'other-origin' } };
  const before = { settings: document.settings, pins: document.pins };
  const compared = changesBetween(before, { settings, pins: request.pins });
  if ('unusable' in compared) return { how: 'scratch', why: compared.unusable };
  if (!isNothing(compared.changes))
    return updates === false
      ? { how: 'scratch', why: { what: 'changed', changes: compared.changes.summary } }
      : { how: 'update', last, changes: compared.changes };
  if (fingerprintOf(settings, request.pins) !== fingerprintOf(document.settings, document.pins))
    return { how: 'scratch', why: { what: 'other-pins' } };
  const text = formatDataDocument({
    file: output,
    size: document.size,
    settings,
    pins: request.pins,
    tools: document.tools,
  });
  return text === document.text ? { how: 'nothing', last } : { how: 'document', last, text };
}

export function planOf(decision: Decision): BuildPlan {
  switch (decision.how) {
    case 'nothing':
    case 'document':
    case 'copy':
      return { how: decision.how };
    case 'update':
      return { how: 'update', changes: decision.changes.summary };
    case 'scratch':
      return decision;
  }
}
