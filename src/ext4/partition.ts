import { damaged, notWhatItShouldBe, Unreadable } from './reader/damage.ts';
import type { ImageFile } from './reader/image-file.ts';
import type { GptHeader, GptPartition } from './partition-table.ts';
import { isProtectiveMbr, parseGptEntries, parseGptHeader } from './partition-table.ts';

/** Where a file system lies in a disk image: `offset` in bytes, or a GPT partition by its name. */
export type Place = { readonly offset: number } | { readonly partition: string };

const SECTOR_SIZES = [512, 4096];

/**
 * The stretch of the file that is the partition, or everything from the offset on. Throws `Unreadable`:
 * `partition-missing`,
 * `invalid-document` where there is no such table, or `image-corrupt` where both of its copies are damaged.
 */
export async function findPlace(file: ImageFile, place: Place): Promise<ImageFile> {
  if ('offset' in place) {
    if (place.offset > file.size)
      throw damaged(`it ends at byte ${file.size}, before byte ${place.offset}`);
    return file.part(place.offset, file.size - place.offset);
  }
  const { sectorSize, partitions } = await readTable(file);
  const found = partitions.filter(({ name }) => name === place.partition);
  const [partition, second] = found;
  if (partition === undefined)
    throw missing(
      place.partition,
      partitions.map(({ name }) => name),
    );
  if (second !== undefined)
    throw damaged(
      `partitions ${partition.number} and ${second.number} are both named ${JSON.stringify(place.partition)}`,
    );
  return file.part(
    partition.first * sectorSize,
    (partition.last - partition.first + 1) * sectorSize,
  );
}

interface Table {
  readonly sectorSize: number;
  readonly partitions: readonly GptPartition[];
}

/** As Linux does: the first table, or where that is damaged the copy in the disk's last sectors. */
async function readTable(file: ImageFile): Promise<Table> {
  if (file.size < 512 || !isProtectiveMbr(await file.read(0, 512)))
    throw notWhatItShouldBe('it has no GUID partition table');
  const complaints: string[] = [];
  for (const copy of ['first', 'last'] as const)
    for (const sectorSize of SECTOR_SIZES) {
      const sectors = Math.floor(file.size / sectorSize);
      if (sectors < 3) continue;
      const table = await readCopy(file, sectorSize, copy === 'first' ? 1 : sectors - 1);
      if (typeof table !== 'string') return { sectorSize, partitions: table };
      complaints.push(`${copy} copy, sectors of ${sectorSize} bytes: ${table}`);
    }
  throw damaged(`its partition table is damaged (${complaints.join('; ')})`);
}

async function readCopy(
  file: ImageFile,
  sectorSize: number,
  at: number,
): Promise<GptPartition[] | string> {
  const sectors = Math.floor(file.size / sectorSize);
  const header = parseGptHeader(await file.read(at * sectorSize, sectorSize), at);
  if (typeof header === 'string') return header;
  const length = header.entryCount * header.entrySize;
  if (header.entries * sectorSize + length > file.size)
    return 'its entries lie outside of the file';
  const partitions = parseGptEntries(header, await file.read(header.entries * sectorSize, length));
  if (partitions === undefined) return "its entries' checksum is wrong";
  const wrong = partitions.find((partition) => !isWithin(partition, header, sectors));
  return wrong === undefined ? partitions : `partition ${wrong.number} lies outside of the disk`;
}

function isWithin({ first, last }: GptPartition, header: GptHeader, sectors: number): boolean {
  return (
    first >= header.firstUsable && first <= last && last <= header.lastUsable && last < sectors
  );
}

function missing(wanted: string, present: readonly string[]): Unreadable {
  return new Unreadable((image) => ({ reason: 'partition-missing', image, wanted, present }));
}
