import type { BuildPlan, ChangeSummary, ScratchReason } from '../model/build-plan.ts';
import { unreachable } from '../model/result.ts';
import { describeFailure, formatBytes } from './describe-failure.ts';
import { countOf } from './count-of.ts';

/** What a build does, and why, as a phrase. */
export function describeBuildPlan(plan: BuildPlan): string {
  switch (plan.how) {
    case 'nothing':
      return 'nothing changed';
    case 'document':
      return 'the image is up to date; what data.json says of it changed';
    case 'copy':
      return 'another build left the same image in the store';
    case 'update':
      return describeChanges(plan.changes);
    case 'into':
      return `${describeChanges(plan.changes)}, on top of ${plan.image}`;
    case 'scratch':
      return `from scratch: ${describeReason(plan.why)}`;
    default:
      return unreachable(plan);
  }
}

/** `1 of 7 images changed: dns; 2 files changed: a, b`. */
export function describeChanges(changes: ChangeSummary): string {
  const of = (names: readonly string[], what: string): string[] =>
    names.length === 0
      ? []
      : [`${names.length} of ${changes.images} images ${what}: ${names.join(', ')}`];
  const { removed, files } = changes;
  const parts = [
    ...of(changes.changed, 'changed'),
    ...of(changes.added, 'added'),
    ...(removed.length === 0
      ? []
      : [`${countOf(removed.length, 'image')} removed: ${removed.join(', ')}`]),
    ...of(changes.renamed, 'tagged anew'),
    ...(files.length === 0
      ? []
      : [`${countOf(files.length, 'file')} changed: ${files.join(', ')}`]),
    ...(changes.label ? ['another label'] : []),
  ];
  return parts.length === 0 ? 'nothing to change' : parts.join('; ');
}

/** Why the last result is not used. */
export function describeReason(why: ScratchReason): string {
  switch (why.what) {
    case 'asked':
      return 'as was asked';
    case 'no-result':
      return 'there is no earlier result';
    case 'no-document':
      return 'no data.json says what the image that is there holds';
    case 'result-changed':
      return 'the last result was written to, touched or copied since it was built';
    case 'other-origin':
      return 'the last result was made in another way, or by another stowage';
    case 'other-pins':
      return 'the pins say something else of the same images than those of the last result';
    case 'settings':
      return `changed: ${why.settings.map((name) => SETTINGS[name] ?? name).join(', ')}`;
    case 'changed':
      return describeChanges(why.changes);
    case 'most-changed':
      return `half of it or more changed (${formatBytes(why.bytes)} of ${formatBytes(why.of)})`;
    case 'failed':
      return `updating the last result failed: ${describeFailure(why.failure).message}`;
    default:
      return unreachable(why);
  }
}

const SETTINGS: Readonly<Record<string, string>> = {
  loader: 'the loader',
  stowage: "stowage's version",
  dind: 'the dind image',
  engine: 'the engine',
  partition: 'the partition',
  epoch: 'SOURCE_DATE_EPOCH',
};
