/** The features of a file system by the names that tune2fs gives them (e2fsprogs, lib/e2p/feature.c). */
type Names = Readonly<Record<number, string>>;

const COMPATIBLE: Names = {
  0x1: 'dir_prealloc',
  0x2: 'imagic_inodes',
  0x4: 'has_journal',
  0x8: 'ext_attr',
  0x10: 'resize_inode',
  0x20: 'dir_index',
  0x200: 'sparse_super2',
  0x400: 'fast_commit',
  0x800: 'stable_inodes',
  0x1000: 'orphan_file',
};

const READ_ONLY_COMPATIBLE: Names = {
  0x1: 'sparse_super',
  0x2: 'large_file',
  0x8: 'huge_file',
  0x10: 'uninit_bg',
  0x20: 'dir_nlink',
  0x40: 'extra_isize',
  0x80: 'snapshot',
  0x100: 'quota',
  0x200: 'bigalloc',
  0x400: 'metadata_csum',
  0x1000: 'read-only',
  0x2000: 'project',
  0x4000: 'shared_blocks',
  0x8000: 'verity',
  0x10000: 'orphan_present',
};

const INCOMPATIBLE: Names = {
  0x1: 'compression',
  0x2: 'filetype',
  0x4: 'needs_recovery',
  0x8: 'journal_dev',
  0x10: 'meta_bg',
  0x40: 'extent',
  0x80: '64bit',
  0x100: 'mmp',
  0x200: 'flex_bg',
  0x400: 'ea_inode',
  0x1000: 'dirdata',
  0x2000: 'metadata_csum_seed',
  0x4000: 'large_dir',
  0x8000: 'inline_data',
  0x10000: 'encrypt',
  0x20000: 'casefold',
};

/** Those without which nothing can be read. What is encrypted or folds case is told of each inode. */
const READ: ReadonlySet<string> = new Set([
  'filetype',
  'needs_recovery',
  'meta_bg',
  'extent',
  '64bit',
  'mmp',
  'flex_bg',
  'ea_inode',
  'metadata_csum_seed',
  'large_dir',
  'inline_data',
  'encrypt',
  'casefold',
]);

export interface Features {
  readonly names: ReadonlySet<string>;
  /** The first that makes reading impossible. */
  readonly unread: string | undefined;
}

/** The three words of the superblock. */
export function parseFeatures(
  compatible: number,
  incompatible: number,
  readOnlyCompatible: number,
): Features {
  const incompatibles = namesOf(incompatible, INCOMPATIBLE, 'I');
  return {
    names: new Set([
      ...namesOf(compatible, COMPATIBLE, 'C'),
      ...incompatibles,
      ...namesOf(readOnlyCompatible, READ_ONLY_COMPATIBLE, 'R'),
    ]),
    unread: incompatibles.find((name) => !READ.has(name)),
  };
}

/** What has no name gets one such as tune2fs makes up: `FEATURE_I18`. */
function namesOf(word: number, names: Names, kind: string): string[] {
  return Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => ((word >>> bit) & 1) === 1)
    .map((bit) => names[2 ** bit] ?? `FEATURE_${kind}${bit}`);
}
