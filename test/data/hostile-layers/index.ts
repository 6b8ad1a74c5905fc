import type { HostileCase } from './case.ts';
import { DUPLICATES } from './duplicates.ts';
import { ATTRIBUTES, RECORDS, SIZES } from './headers.ts';
import { LINKS } from './links.ts';
import { NAMES } from './names.ts';
import { packings } from './packing.ts';
import { WHITEOUTS } from './whiteouts.ts';

/** Every case, each under a name of its own; made anew each time, the same. */
export function hostileLayers(): HostileCase[] {
  return [
    ...NAMES,
    ...LINKS,
    ...WHITEOUTS,
    ...DUPLICATES,
    ...SIZES,
    ...RECORDS,
    ...ATTRIBUTES,
    ...packings(),
  ];
}
