import type { Digest } from './digest.ts';

/** What points at a blob: OCI image-spec, descriptor.md. `size` is in bytes. */
export interface Descriptor {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
}
