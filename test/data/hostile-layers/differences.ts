/** Where the direct loader does otherwise than the engine, and why that is meant. A case that differs no more is to go. */
export interface Difference {
  /** Of the cases with these names. */
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
    cases: ['attributes-for-all'],
    why: 'the engine makes the directory of a header that is no member; nobody means it to be in the image',
  },
  {
    cases: ['gzip-with-garbage-behind'],
    why: 'engines with pigz beside them take it, those without do not',
  },
  {
    cases: ['gzip-called-plain', 'zstd-called-plain'],
    why: 'layers are taken for what they are; the diff ID tells that it is the right one',
  },
];
