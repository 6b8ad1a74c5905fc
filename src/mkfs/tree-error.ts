import type { Failure } from '../model/failure.ts';

/** Thrown by what yields a tree, since a stream has no other way to fail; `makeImage` makes a `Result` of it. */
export class TreeError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.reason);
  }
}
