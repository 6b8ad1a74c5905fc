/** Blocks of a file system, and of the journal that mke2fs chooses below that. */
const CHOSEN: readonly (readonly [below: number, blocks: number])[] = [
  [2048, 0],
  [32_768, 1024],
  [262_144, 4096],
  [524_288, 8192],
  [4_194_304, 16_384],
  [8_388_608, 32_768],
];
/** Bytes that are enough for any. */
const MOST = 64 * 1024 * 1024;

/** Blocks of the journal for a file system of `blocks`, as mke2fs chooses but for `MOST`. Less than 1024 Linux does not take. */
export function chosenJournal(blocks: number, blockSize: number): number {
  const most = MOST / blockSize;
  const [, chosen = most] = CHOSEN.find(([below]) => blocks < below) ?? [];
  return Math.min(chosen, most);
}
