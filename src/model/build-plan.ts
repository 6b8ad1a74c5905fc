import type { Failure } from './failure.ts';

/** What a build does, or would do, and why: report/describe-build-plan.ts makes text of it. */
export type BuildPlan =
  /** The output is what was asked for. */
  | { readonly how: 'nothing' }
  /** The image is what was asked for; only data.json says something else. */
  | { readonly how: 'document' }
  /** Another build left the finished image in the store. */
  | { readonly how: 'copy' }
  /** The last result, changed. */
  | { readonly how: 'update'; readonly changes: ChangeSummary }
  /** Everything is added to an existing image: `--into`. */
  | { readonly how: 'into'; readonly image: string; readonly changes: ChangeSummary }
  | { readonly how: 'scratch'; readonly why: ScratchReason };

/** For people: by the names in the bundle. */
export interface ChangeSummary {
  /** Images that are wanted. */
  readonly images: number;
  /** Other content under a name in the bundle that was there before. */
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly renamed: readonly string[];
  /** Files written or removed. */
  readonly files: readonly string[];
  readonly label: boolean;
}

export type ScratchReason =
  | { readonly what: 'asked' }
  | { readonly what: 'no-result' }
  /** There is an image, and no data.json that says what is in it. */
  | { readonly what: 'no-document' }
  /** The image was written to, copied or touched since it was built. */
  | { readonly what: 'result-changed' }
  /** These are of another build: an older stowage's, or one with `--into`. */
  | { readonly what: 'other-origin' }
  /** The pins tell otherwise what the same digests are: of one of the two it can't be true. */
  | { readonly what: 'other-pins' }
  | { readonly what: 'settings'; readonly settings: readonly string[] }
  /** Bytes of layers to be loaded, of all. */
  | { readonly what: 'most-changed'; readonly bytes: number; readonly of: number }
  /** The loader changes no data images, it builds each anew. */
  | { readonly what: 'changed'; readonly changes: ChangeSummary }
  /** The shorter way was tried, and did not lead there. */
  | { readonly what: 'failed'; readonly failure: Failure };
