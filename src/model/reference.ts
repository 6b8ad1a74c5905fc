import type { Digest } from './digest.ts';

/**
 * A name with a tag or digest at a registry, parsed once, with Docker's defaults filled in
 * (`alpine` is `docker.io/library/alpine`): github.com/distribution/reference.
 */
export interface Reference {
  /** `docker.io`, `127.0.0.1:5000`. */
  readonly registry: string;
  /** `library/alpine`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}
