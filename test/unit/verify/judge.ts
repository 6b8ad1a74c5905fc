import assert from 'node:assert/strict';
import type { Digest } from '../../../src/model/digest.ts';
import type { Context, Event } from '../../../src/model/event.ts';
import type { ImagePin } from '../../../src/model/pins.ts';
import { verifyConsistency, verifyDataImage } from '../../../src/verify/verify.ts';
import type { Draft } from './data-image.ts';
import { DATA_ROOT, LABEL, bucket, draftImage, writeDraft } from './data-image.ts';

/** A context, and what is reported to it. */
export function watch(): { context: Context; events: Event[] } {
  const events: Event[] = [];
  return {
    context: { report: (event) => events.push(event), signal: new AbortController().signal },
    events,
  };
}

/** Findings with the pins, and with none. */
export interface Verdict {
  readonly findings: readonly string[];
  readonly alone: readonly string[];
}

/** Spoils a right image, and says what verify finds with its pins and without. */
export async function judge(
  spoil: (draft: Draft) => void,
  after: (image: string) => void = () => undefined,
): Promise<Verdict> {
  const draft = draftImage();
  spoil(draft);
  const { image, remove } = writeDraft(draft);
  try {
    after(image);
    const { context } = watch();
    const expected = { dataRoot: DATA_ROOT, label: LABEL };
    return {
      findings: findingsOf(
        await verifyDataImage(image, { ...expected, pins: draft.pins }, context),
      ),
      alone: findingsOf(await verifyConsistency(image, expected, context)),
    };
  } finally {
    remove();
  }
}

export function findingsOf(result: Awaited<ReturnType<typeof verifyDataImage>>): readonly string[] {
  if (result.ok) return [];
  assert.ok(result.failure.reason === 'not-verified', JSON.stringify(result.failure));
  return result.failure.findings;
}

export function one(draft: Draft): ImagePin {
  return pin(draft, 'one');
}

export function pin(draft: Draft, name: string): ImagePin {
  const found = draft.pins.images[name];
  assert.ok(found !== undefined);
  return found;
}

export function layer(of: ImagePin, i: number): Digest {
  const found = of.layers[i];
  assert.ok(found !== undefined);
  return found.digest;
}

export function blobs(draft: Draft): ReturnType<typeof bucket> {
  return bucket(draft.moby, 'content', 'blob');
}

export function remove(from: ReturnType<typeof bucket>, key: string): void {
  assert.ok(Object.hasOwn(from, key), key);
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a bucket's keys are data
  delete from[key];
}
