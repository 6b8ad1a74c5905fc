/**
 * The features that an image of this writer may have (Linux, Documentation/filesystems/ext4/super.rst), by the names
 * of tune2fs: their bits in the three words of the superblock.
 */
export const COMPATIBLE = {
  has_journal: 0x4,
  ext_attr: 0x8,
  resize_inode: 0x10,
  dir_index: 0x20,
  orphan_file: 0x1000,
} as const;

export const INCOMPATIBLE = {
  filetype: 0x2,
  meta_bg: 0x10,
  extent: 0x40,
  '64bit': 0x80,
  flex_bg: 0x200,
  metadata_csum_seed: 0x2000,
} as const;

export const READ_ONLY_COMPATIBLE = {
  sparse_super: 0x1,
  large_file: 0x2,
  huge_file: 0x8,
  dir_nlink: 0x20,
  extra_isize: 0x40,
  metadata_csum: 0x400,
} as const;

export type Feature =
  keyof typeof COMPATIBLE | keyof typeof INCOMPATIBLE | keyof typeof READ_ONLY_COMPATIBLE;

/** The word of the superblock that holds those of `features` which `bits` knows. */
export function featureWord(
  features: ReadonlySet<Feature>,
  bits: Readonly<Partial<Record<Feature, number>>>,
): number {
  return [...features].reduce((word, feature) => word | (bits[feature] ?? 0), 0);
}
