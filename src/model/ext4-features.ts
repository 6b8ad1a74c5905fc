import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/**
 * What an ext4 file system has to be like for a device: features by the names that mke2fs gives them, chosen by a
 * preset and single names. docs/sizes.md has the table for users.
 */

/** By the oldest Linux, and the e2fsprogs of its time, that must be able to use the file system. */
export type FeaturePreset = 'default' | '5.15' | '6.1' | '6.12';

/** Those that every data image has, whoever reads it: what mke2fs made by default until 1.46. */
const SINCE_3_18 = [
  'has_journal',
  'ext_attr',
  'resize_inode',
  'dir_index',
  'filetype',
  'extent',
  '64bit',
  'flex_bg',
  'sparse_super',
  'large_file',
  'huge_file',
  'dir_nlink',
  'extra_isize',
  'metadata_csum',
] as const;

/** What mke2fs 1.47 added to that. Linux mounts orphan_file from 5.15 on, but no e2fsck before 1.47 can check it. */
const SINCE_6_1 = [...SINCE_3_18, 'metadata_csum_seed', 'orphan_file'] as const;

export const FEATURE_PRESETS: Readonly<Record<FeaturePreset, readonly string[]>> = {
  default: SINCE_3_18,
  '5.15': SINCE_3_18,
  '6.1': SINCE_6_1,
  '6.12': SINCE_6_1,
};

/** Why they can't be left out. */
const NEEDED: Readonly<Record<string, string>> = {
  ext_attr: 'an engine keeps what it must know of layers in extended attributes',
  filetype: 'overlayfs needs it',
  extent: 'every Linux that runs containers has it, and large files need it',
  large_file: 'an image may have files of over 2 GB',
  sparse_super: 'without it every group would have a copy of the superblock',
  dir_index: 'directories of layers can be large',
};

/** What may be added to a preset: each of them is made, checked, shrunk and mounted by what a build uses. */
const ADDABLE: ReadonlySet<string> = new Set([
  ...SINCE_6_1,
  'large_dir',
  'ea_inode',
  'verity',
  'uninit_bg',
]);

/** Which features need which others, and which can't be together. */
const DEPENDS: readonly (readonly [string, string])[] = [
  ['metadata_csum_seed', 'metadata_csum'],
  ['orphan_file', 'has_journal'],
];
const EXCLUDES: readonly (readonly [string, string])[] = [['uninit_bg', 'metadata_csum']];

/** Features that mke2fs knows and a data image can't have. */
const UNFIT: Readonly<Record<string, string>> = {
  bigalloc: 'resize2fs can neither shrink nor safely grow it',
  casefold: 'overlayfs refuses it',
  encrypt: 'overlayfs refuses it',
  inline_data: 'resize2fs and older kernels have trouble with it',
  journal_dev: 'the journal has to be on the partition',
  meta_bg: 'resize_inode has room for growing',
  mmp: 'every mount would wait for it',
  project: 'not every kernel mounts it',
  quota: 'not every kernel mounts it',
  sparse_super2: 'resize2fs would have to move its copies',
  stable_inodes: 'resize2fs can not shrink it',
};

/** What is wrong with a choice of features, in words that follow the choice itself. */
export interface FeatureProblem {
  readonly detail: string;
}

/** The words of a bundle's `features`, where YAML makes a number of `5.15`; of the command line's, a list with commas. */
export function featureWords(
  given: string | number | readonly (string | number)[],
): readonly string[] {
  if (typeof given === 'object') return given.map(String);
  return String(given)
    .split(/[\s,]+/)
    .filter((word) => word !== '');
}

/**
 * The names in `5.15`, `6.1 -orphan_file` or `-metadata_csum`, one item a word: a preset, first and at most one; then
 * names that are added, or taken away with a `-`. Sorted, each once.
 */
export function parseFeatures(words: readonly string[]): Result<readonly string[], FeatureProblem> {
  const [first, ...others] = words;
  const isPreset = first !== undefined && Object.hasOwn(FEATURE_PRESETS, first);
  const names = new Set(FEATURE_PRESETS[isPreset ? (first as FeaturePreset) : 'default']);
  for (const word of isPreset ? others : words) {
    const [, minus, name = ''] = /^([-^]?)(\w+)$/.exec(word) ?? [];
    const problem = nameProblem(word, name, minus !== '');
    if (problem !== undefined) return fail({ detail: problem });
    if (minus === '') names.add(name);
    else names.delete(name);
  }
  const [needing, needed] = DEPENDS.find(([a, b]) => names.has(a) && !names.has(b)) ?? [];
  if (needing !== undefined) return fail({ detail: `${needing} needs ${needed ?? ''}` });
  const [one, other] = EXCLUDES.find(([a, b]) => names.has(a) && names.has(b)) ?? [];
  if (one !== undefined) return fail({ detail: `${one} can't be together with ${other ?? ''}` });
  return ok([...names].sort());
}

function nameProblem(word: string, name: string, isTaken: boolean): string | undefined {
  if (Object.hasOwn(FEATURE_PRESETS, word)) return `${word} is a preset, which comes first`;
  const unfit = UNFIT[name];
  if (unfit !== undefined && !isTaken) return `${name} is not for a data image: ${unfit}`;
  if (!ADDABLE.has(name) && unfit === undefined)
    return `${JSON.stringify(word)} is no preset (${Object.keys(FEATURE_PRESETS).join(', ')}) and no feature of ext4 that can be chosen (${[...ADDABLE].sort().join(', ')})`;
  const needed = NEEDED[name];
  return isTaken && needed !== undefined ? `${name} has to stay: ${needed}` : undefined;
}
