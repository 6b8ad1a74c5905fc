/** The superblock of an empty journal, big-endian (Linux, Documentation/filesystems/ext4/journal.rst). */
const MAGIC = 0xc03b3998;
const SUPERBLOCK_V2 = 4;

/** One block; `blocks` is the length of all, this one included. Features of its own Linux sets when it mounts. */
export function encodeJournalSuperblock(
  blockSize: number,
  blocks: number,
  uuid: Uint8Array,
): Buffer {
  const bytes = Buffer.alloc(blockSize);
  bytes.writeUInt32BE(MAGIC, 0x0);
  bytes.writeUInt32BE(SUPERBLOCK_V2, 0x4);
  bytes.writeUInt32BE(blockSize, 0xc);
  bytes.writeUInt32BE(blocks, 0x10);
  // The first block of its log, the first transaction; there is no log yet.
  bytes.writeUInt32BE(1, 0x14);
  bytes.writeUInt32BE(1, 0x18);
  bytes.set(uuid, 0x30);
  bytes.writeUInt32BE(1, 0x40);
  return bytes;
}
