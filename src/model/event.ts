import type { BuildPlan } from './build-plan.ts';
import type { Digest } from './digest.ts';
import type { Failure } from './failure.ts';

/** What happens, as data; only loggers (src/cli/) make text of it. Sizes are bytes, times milliseconds. */
export type Event =
  /** `what` is a reference or an address; `name` the image's, of which `pinned` tells the end. */
  | { readonly type: 'resolving'; readonly what: string; readonly name?: string }
  | {
      readonly type: 'pinned';
      readonly name: string;
      readonly reference: string;
      /** It is looked at alone, and written nowhere. */
      readonly dry?: true;
    }
  | { readonly type: 'pins-written'; readonly file: string; readonly changed: boolean }
  | {
      readonly type: 'fetch-planned';
      readonly images: number;
      readonly missing: number;
      readonly bytes: number;
    }
  | { readonly type: 'fetch-started'; readonly image: string; readonly bytes: number }
  | {
      readonly type: 'fetch-progress';
      readonly image: string;
      readonly bytes: number;
      readonly total: number;
    }
  | { readonly type: 'fetch-finished'; readonly image: string; readonly bytes: number }
  | {
      readonly type: 'attempt-failed';
      readonly what: string;
      readonly attempt: number;
      readonly attempts: number;
      readonly retryIn: number;
      readonly detail: string;
    }
  | {
      readonly type: 'mirror-failed';
      readonly what: string;
      readonly mirror: string;
      readonly detail: string;
    }
  | { readonly type: 'waiting'; readonly what: string; readonly holder: string }
  | { readonly type: 'build-planned'; readonly output: string; readonly plan: BuildPlan }
  | { readonly type: 'step'; readonly step: Step; readonly detail?: string }
  /** The builder's engine, which runs the dind image. */
  | { readonly type: 'engine-found'; readonly command: string; readonly version: string }
  | {
      readonly type: 'loaded';
      readonly image: string;
      readonly bytes: number;
      readonly elapsed: number;
    }
  /** A clean-up that did not work; `what` is a phrase: `unmount the data image`. */
  | { readonly type: 'undo-failed'; readonly what: string; readonly failure: Failure }
  | { readonly type: 'reaped'; readonly what: string; readonly name: string }
  | {
      readonly type: 'verified';
      readonly image: string;
      readonly images: number;
      readonly blobs: number;
      readonly files: number;
    }
  | {
      readonly type: 'built';
      readonly output: string;
      readonly size: number;
      readonly images: number;
      readonly elapsed: number;
    }
  | {
      readonly type: 'fetched';
      readonly images: number;
      readonly files: number;
      readonly downloaded: number;
      readonly blobs: readonly Digest[];
    }
  | { readonly type: 'warning'; readonly about: string; readonly detail: string }
  /** What an external program said; shown with --debug only. */
  | { readonly type: 'tool-output'; readonly tool: string; readonly line: string };

/** The steps of a build, in order. */
export type Step =
  | 'check store'
  | 'read image'
  | 'copy'
  | 'write data image'
  | 'write data root'
  | 'make file system'
  | 'mount'
  | 'start engine'
  | 'load images'
  | 'change images'
  | 'check images'
  | 'stop engine'
  | 'scrub'
  | 'unmount'
  | 'write files'
  | 'check file system'
  | 'shrink'
  | 'verify'
  | 'done';

/** Takes events as they happen; must not throw and must not block. */
export type Report = (event: Event) => void;

/** What every long operation is given: where to say what happens, and when to give up (docs/architecture.md). */
export interface Context {
  readonly report: Report;
  readonly signal: AbortSignal;
}
