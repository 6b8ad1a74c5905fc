import { open, stat } from 'node:fs/promises';
import type { Place } from '../ext4/partition.ts';
import { openImage, readFacts } from '../ext4/reader/open-image.ts';
import { fileFailure } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** What a file is, by its first bytes; a string in `looksLike` says what it is instead, as a phrase. */
export type FileKind =
  | { readonly kind: 'ext4' | 'disk' | 'JSON' | 'tar' }
  | { readonly kind: 'other'; readonly looksLike?: string };

/** The superblock's magic is at 1080, a tar's at 257, a GUID partition table's behind one sector of 512 or 4096. */
const HEAD = 4096 + 8;

export async function fileKind(path: string, source: string): Promise<Result<FileKind>> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
      return ok(kindOf(buffer.subarray(0, bytesRead)));
    } finally {
      await file.close();
    }
  } catch (error) {
    return fail(fileFailure(error, source, 'reading it'));
  }
}

function kindOf(head: Buffer): FileKind {
  if (head.length >= 1082 && head.readUInt16LE(1080) === 0xef53) return { kind: 'ext4' };
  const at = (offset: number, text: string): boolean =>
    head.toString('latin1', offset, offset + text.length) === text;
  if (at(512, 'EFI PART') || at(4096, 'EFI PART')) return { kind: 'disk' };
  const text = head.toString('utf8');
  if (/^(?:\uFEFF|\s)*\{/.test(text)) return { kind: 'JSON' };
  const magic = head.toString('hex', 0, 4);
  if (at(257, 'ustar') || magic.startsWith('1f8b') || magic === '28b52ffd') return { kind: 'tar' };
  if (head.length === 0) return { kind: 'other', looksLike: 'it is empty' };
  if (/^stowage:\s/m.test(text))
    return { kind: 'other', looksLike: 'it is a bundle: `stowage pin` makes the pins of it' };
  const known = MAGICS.find(([bytes]) => at(0, bytes));
  if (known !== undefined) return { kind: 'other', looksLike: `it is ${known[1]}` };
  if (head.length >= 512 && head.readUInt16LE(510) === 0xaa55)
    return {
      kind: 'other',
      looksLike:
        'it begins with a boot sector and has no GUID partition table: --offset says where its partition begins',
    };
  return { kind: 'other' };
}

const MAGICS: readonly (readonly [string, string])[] = [
  ['\xfd7zXZ\0', 'packed by xz: unpack it first'],
  ['BZh', 'packed by bzip2: unpack it first'],
  ['PK\x03\x04', 'a zip archive: unpack it first'],
  ['QFI\xfb', 'a qcow2 image: `qemu-img convert -O raw` makes a raw one of it'],
  ['hsqs', 'a squashfs'],
];

/** A whole disk has file systems enough: whoever asks says which. */
export async function choosePartition(path: string): Promise<Result<never>> {
  const opened = await openImage(path, { partition: '' });
  if (opened.ok) await opened.value.close();
  else if (opened.failure.reason !== 'partition-missing') return opened;
  const present =
    !opened.ok && opened.failure.reason === 'partition-missing' ? opened.failure.present : [''];
  return fail({
    reason: 'invalid-option',
    option: '--partition',
    value: '',
    expected: `the name of one of the disk image's partitions: ${present.join(', ')}`,
  });
}

/** Whether there is a file system at that place: where there is none, the option is wrong, and not the file. */
export async function checkPlace(path: string, place: Place): Promise<Result<void>> {
  const wrong = (expected: string): Result<never> =>
    fail(
      'offset' in place
        ? { reason: 'invalid-option', option: '--offset', value: `${place.offset}`, expected }
        : { reason: 'invalid-option', option: '--partition', value: place.partition, expected },
    );
  try {
    const found = await stat(path);
    if ('offset' in place && found.isFile() && place.offset >= found.size)
      return wrong(`less than the ${found.size} bytes of ${path}`);
  } catch (error) {
    return fail(fileFailure(error, path, 'looking at it'));
  }
  const facts = await readFacts(path, place);
  if (facts.ok || facts.failure.reason === 'image-corrupt') return ok();
  const { failure } = facts;
  if (failure.reason !== 'invalid-document') return facts;
  return wrong(
    `a place in ${path} where a file system begins: ${failure.problems.map(({ detail }) => detail).join(', ')}`,
  );
}
