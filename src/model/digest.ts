import { createHash } from 'node:crypto';

/** `sha256:` and 64 lower-case hexadecimal digits (OCI image-spec, descriptor.md, "Digests"). Made here only. */
export type Digest = string & { readonly brand: 'Digest' };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Returns undefined for anything but a well-formed sha256 digest. */
export function parseDigest(text: unknown): Digest | undefined {
  return typeof text === 'string' && DIGEST.test(text) ? (text as Digest) : undefined;
}

/** The digest of `hex`, 64 lower-case hexadecimal digits; throws on anything else, which is a bug. */
export function digestFromHex(hex: string): Digest {
  const digest = parseDigest(`sha256:${hex}`);
  if (digest === undefined) throw new Error(`not 64 hexadecimal digits: ${hex}`);
  return digest;
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return digestFromHex(createHash('sha256').update(bytes).digest('hex'));
}

/** The 64 digits behind `sha256:`. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
