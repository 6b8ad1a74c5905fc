import type { StoreKind } from './outcome.ts';

/** Where the direct loader does otherwise than the engine, and why. A case that differs no more is to go. */
export interface Difference {
  /** Whose engine does otherwise; both where it is not said. */
  readonly store?: StoreKind;
  readonly cases: readonly string[];
  readonly why: string;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    cases: ['owner-of-33-bits', 'owner-negative'],
    why: 'the engine cuts owners that Linux can’t have to 32 bits, so that what was nobody’s may become root’s',
  },
  {
    cases: ['device-of-too-large-numbers'],
    why: 'the engine cuts numbers that Linux can’t have, and makes another device',
  },
  {
    cases: ['time-after-everything'],
    why: 'the engine says 1970 instead of a time that no program writes',
  },
  {
    cases: ['cut-off-in-padding', 'record-without-a-member'],
    why: 'an archive that ends where it can’t is damaged, whatever its digest; the engine does not look',
  },
  {
    store: 'containerd',
    cases: ['attributes-for-all'],
    why: 'the engine makes the directory of a header that is no member; nobody means it to be in the image',
  },
  {
    cases: ['gzip-with-garbage-behind'],
    why: 'engines with pigz beside them take it, those without do not',
  },
  {
    store: 'containerd',
    cases: ['gzip-called-plain', 'zstd-called-plain'],
    why: 'layers are taken for what they are; the diff ID tells that it is the right one',
  },
  {
    store: 'overlay2',
    cases: [
      'gzip-without-its-trailer',
      'gzip-of-a-wrong-checksum',
      'gzip-of-a-wrong-length',
      'zstd-of-a-wrong-checksum',
      'zstd-with-garbage-behind',
    ],
    why: 'the engine ends reading with the archive; here the compressed data has to be sound to its end',
  },
  {
    store: 'overlay2',
    cases: ['path-of-4000-bytes'],
    why: 'the engine fails for the length of its own directory’s name, which is another in each installation',
  },
  {
    store: 'overlay2',
    cases: [
      'attribute-acl-damaged',
      'attribute-of-no-namespace',
      'attribute-of-an-unknown-namespace',
      'attributes-of-a-symlink',
    ],
    why: 'what Linux can’t keep is left out, as containerd does, which takes the same layer',
  },
  {
    store: 'overlay2',
    cases: ['parent-is-a-symlink-that-leads-out', 'hard-link-that-leads-out'],
    why: 'what leads out of the layer ends at its root, as with containerd and with `docker run`',
  },
  {
    store: 'overlay2',
    cases: ['layers-128'],
    why: 'an engine with overlay2 takes no more than 125 layers; a build says so before anything is written',
  },
];
