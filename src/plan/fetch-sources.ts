import type { Digest } from '../model/digest.ts';
import type { Reference } from '../model/reference.ts';
import { nameOf } from '../model/reference.ts';

/** A place to ask for an image, and the names it may have there, in the order to ask. */
export interface Source {
  /** The mirror as it was given; undefined for the image's own registry. */
  readonly mirror?: string;
  readonly names: readonly string[];
}

/**
 * Mirrors first, in their order, then the image's own registry. For `ghcr.io/a/b` the mirror `HOST/PATH` is asked
 * for `HOST/PATH/ghcr.io/a/b`, as mirrors of several registries have it, then for `HOST/PATH/a/b`. Of a registry with
 * a port only the second can be asked for. With `mirrorOnly` the image's own registry is left out.
 */
export function sourcesOf(
  reference: Reference,
  mirrors: readonly string[],
  mirrorOnly = false,
): readonly Source[] {
  return [
    ...mirrors.map((mirror) => {
      const base = mirror.replace(/^https?:\/\//, '').replace(/\/+$/, '');
      const short = `${base}/${reference.repository}`;
      // A port's colon can't be part of a path.
      const long = reference.registry.includes(':') ? [] : [`${base}/${nameOf(reference)}`];
      return { mirror: base, names: [...long, short] };
    }),
    ...(mirrorOnly ? [] : [{ names: [nameOf(reference)] }]),
  ];
}

/** The registry of a name such as `127.0.0.1:5000/a/b`. */
export function registryOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

/** `name@sha256:…` or `name:tag`: skopeo takes one of the two. */
export function atDigest(name: string, digest: Digest): string {
  return `${name}@${digest}`;
}
