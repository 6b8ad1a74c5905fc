import { crc32 } from 'node:zlib';

/**
 * The bytes of a GUID partition table (UEFI specification 2.10, section 5; numbers are little-endian): what lies in a
 * sector, with no reading.
 */
export interface GptHeader {
  /** Sectors, as are all positions here. */
  readonly own: number;
  readonly other: number;
  /** Where partitions may lie, the last one included. */
  readonly firstUsable: number;
  readonly lastUsable: number;
  readonly entries: number;
  readonly entryCount: number;
  /** Bytes. */
  readonly entrySize: number;
  readonly entriesCrc: number;
}

export interface GptPartition {
  /** From 1, as Linux counts. */
  readonly number: number;
  readonly name: string;
  readonly first: number;
  /** Included. */
  readonly last: number;
}

const SIGNATURE = 'EFI PART';
const HEADER_LEAST = 92;
const ENTRY_LEAST = 128;
const ENTRY_MOST = 4096;
const NAME = { at: 56, length: 72 } as const;
/** Linux has room for 256 partitions, usual tables for 128; sixteen times that is a table nobody made. */
const MOST_ENTRIES = 4096;

const MBR = { signatureAt: 510, tableAt: 446, entry: 16, typeAt: 4, count: 4 } as const;
const PROTECTIVE = 0xee;

/** Does this first sector say that a GPT follows? A hybrid one does too. */
export function isProtectiveMbr(sector: Buffer): boolean {
  if (sector.readUInt16LE(MBR.signatureAt) !== 0xaa55) return false;
  return Array.from({ length: MBR.count }, (_, i) => MBR.tableAt + i * MBR.entry + MBR.typeAt).some(
    (at) => sector[at] === PROTECTIVE,
  );
}

/** `at` is the sector it was read from. A string says what is wrong with it, as a phrase. */
export function parseGptHeader(sector: Buffer, at: number): GptHeader | string {
  if (sector.toString('latin1', 0, SIGNATURE.length) !== SIGNATURE) return 'it has no signature';
  const length = sector.readUInt32LE(12);
  if (length < HEADER_LEAST || length > sector.length) return `it is ${length} bytes long`;
  const bytes = Buffer.from(sector.subarray(0, length));
  bytes.writeUInt32LE(0, 16);
  if (crc32(bytes) !== sector.readUInt32LE(16)) return 'its checksum is wrong';
  const header: GptHeader = {
    own: readNumber(bytes, 24),
    other: readNumber(bytes, 32),
    firstUsable: readNumber(bytes, 40),
    lastUsable: readNumber(bytes, 48),
    entries: readNumber(bytes, 72),
    entryCount: bytes.readUInt32LE(80),
    entrySize: bytes.readUInt32LE(84),
    entriesCrc: bytes.readUInt32LE(88),
  };
  if (header.own !== at) return `it says that it lies in sector ${header.own}`;
  if (
    header.entrySize < ENTRY_LEAST ||
    header.entrySize > ENTRY_MOST ||
    header.entrySize % ENTRY_LEAST !== 0
  )
    return `its entries are of ${header.entrySize} bytes`;
  if (header.entryCount > MOST_ENTRIES) return `it has ${header.entryCount} entries`;
  if (header.firstUsable > header.lastUsable) return 'it has no room for partitions';
  return header;
}

/** `array` is all of the header's entries. Undefined where its checksum is wrong. */
export function parseGptEntries(header: GptHeader, array: Buffer): GptPartition[] | undefined {
  if (crc32(array) !== header.entriesCrc) return undefined;
  const partitions: GptPartition[] = [];
  for (let i = 0; i < header.entryCount; i += 1) {
    const entry = array.subarray(i * header.entrySize, (i + 1) * header.entrySize);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    partitions.push({
      number: i + 1,
      name: readName(entry),
      first: readNumber(entry, 32),
      last: readNumber(entry, 40),
    });
  }
  return partitions;
}

function readName(entry: Buffer): string {
  const text = entry.toString('utf16le', NAME.at, NAME.at + NAME.length);
  return text.replace(/\0.*$/s, '');
}

/** Beyond 2^53 it is inexact, and far outside of any file. */
function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
