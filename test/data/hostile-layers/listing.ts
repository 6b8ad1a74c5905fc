import { createHash } from 'node:crypto';
import { mustAsRoot } from '../../rig/process.ts';

/**
 * What a layer left in the directory of its snapshot: a line of each path, in byte order; the root's is `.`. Bytes of
 * paths, targets and names of attributes that are no printable ASCII are written as `%e9`.
 */
export type Listing = Readonly<Record<string, string>>;

/** One thing in a snapshot, wherever it comes from. Paths and targets are latin1, a character a byte. */
export interface Listed {
  readonly path: string;
  readonly type:
    'directory' | 'file' | 'symlink' | 'character device' | 'block device' | 'fifo' | 'socket';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Absent where it is the time of unpacking. */
  readonly mtime?: { readonly seconds: number; readonly nanoseconds: number };
  /** Of a file: its size, and its content or that content's digest in hexadecimal. */
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** The same for all names of an inode; names that are alone may have none. */
  readonly inode?: number | string;
}

const LONGEST_VALUE = 64;

export function formatListing(entries: readonly Listed[]): Listing {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const firsts = new Map<number | string, string>();
  return Object.fromEntries(
    sorted.map((entry) => {
      const path = escape(entry.path === '' ? '.' : entry.path);
      const first = entry.inode === undefined ? undefined : firsts.get(entry.inode);
      if (entry.inode !== undefined && first === undefined) firsts.set(entry.inode, path);
      return [path, first === undefined ? describe(entry) : `hard link to ${first}`];
    }),
  );
}

function describe(entry: Listed): string {
  const { mtime } = entry;
  const words = [
    entry.type,
    entry.mode.toString(8).padStart(4, '0'),
    `${entry.uid}:${entry.gid}`,
    mtime === undefined ? '@now' : `@${mtime.seconds}${fraction(mtime.nanoseconds)}`,
  ];
  if (entry.type === 'file') words.push(`${entry.size ?? 0}`, (entry.sha256 ?? '').slice(0, 16));
  if (entry.type === 'symlink') words.push(`-> ${escape(entry.target ?? '')}`);
  if (entry.type.endsWith('device')) words.push(`${entry.major ?? 0}:${entry.minor ?? 0}`);
  for (const [name, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)))
    words.push(`${escape(name)}=${shorten(value)}`);
  return words.join(' ');
}

function fraction(nanoseconds: number): string {
  return nanoseconds === 0 ? '' : `.${nanoseconds.toString().padStart(9, '0')}`;
}

function shorten(value: Uint8Array): string {
  if (value.length <= LONGEST_VALUE) return Buffer.from(value).toString('hex');
  return `${value.length}-bytes-${createHash('sha256').update(value).digest('hex').slice(0, 16)}`;
}

function escape(text: string): string {
  return text.replace(/[^\x21-\x24\x26-\x7e]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** Asks the kernel, also of paths that are longer than it takes at once. Times after `since` are those of unpacking. */
export async function listDirectories(
  directories: readonly string[],
  since: number,
): Promise<Listing[]> {
  if (directories.length === 0) return [];
  const text = await mustAsRoot('python3', ['-c', PROGRAM], {
    input: directories.map((directory) => `${directory}\n`).join(''),
  });
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => formatListing((JSON.parse(line) as Raw[]).map((raw) => fromRaw(raw, since))));
}

/** As the program below prints it; bytes are in hexadecimal. */
interface Raw {
  readonly path: string;
  readonly kind: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly major: number;
  readonly minor: number;
  readonly inode: number;
  readonly sha256: string | null;
  readonly target: string | null;
  readonly xattrs: Readonly<Record<string, string>>;
}

const KINDS = new Map<number, Listed['type']>([
  [0o04, 'directory'],
  [0o10, 'file'],
  [0o12, 'symlink'],
  [0o02, 'character device'],
  [0o06, 'block device'],
  [0o01, 'fifo'],
  [0o14, 'socket'],
]);

function fromRaw(raw: Raw, since: number): Listed {
  const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
  const type = KINDS.get(raw.kind);
  if (type === undefined) throw new Error(`a file of kind ${raw.kind}`);
  const isNow = raw.seconds >= since && raw.seconds < since + 86_400;
  return {
    ...{ type, path: bytes(raw.path).toString('latin1'), mode: raw.mode, uid: raw.uid },
    ...{ gid: raw.gid, size: raw.size, major: raw.major, minor: raw.minor },
    ...(isNow ? {} : { mtime: { seconds: raw.seconds, nanoseconds: raw.nanoseconds } }),
    ...(raw.sha256 === null ? {} : { sha256: raw.sha256 }),
    ...(raw.target === null ? {} : { target: bytes(raw.target).toString('latin1') }),
    ...(type === 'directory' ? {} : { inode: raw.inode }),
    xattrs: new Map(
      Object.entries(raw.xattrs).map(([name, value]) => [
        bytes(name).toString('latin1'),
        bytes(value),
      ]),
    ),
  };
}

const PROGRAM = `
import hashlib, json, os, stat, sys

def describe(path, at, status, name):
    here = b'/proc/self/fd/%d/%s' % (at, name)
    attributes = {}
    for attribute in os.listxattr(here, follow_symlinks=False):
        value = os.getxattr(here, attribute, follow_symlinks=False)
        attributes[os.fsencode(attribute).hex()] = value.hex()
    digest = None
    if stat.S_ISREG(status.st_mode):
        digest = hashlib.sha256()
        with open(here, 'rb') as content:
            for piece in iter(lambda: content.read(1 << 20), b''):
                digest.update(piece)
        digest = digest.hexdigest()
    target = None
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(here).hex()
    return {
        'path': path.hex(), 'kind': stat.S_IFMT(status.st_mode) >> 12, 'mode': stat.S_IMODE(status.st_mode),
        'uid': status.st_uid, 'gid': status.st_gid, 'size': status.st_size,
        'seconds': status.st_mtime_ns // 10**9, 'nanoseconds': status.st_mtime_ns % 10**9,
        'major': os.major(status.st_rdev), 'minor': os.minor(status.st_rdev), 'inode': status.st_ino,
        'sha256': digest, 'target': target, 'xattrs': attributes,
    }

def walk(path, at, entries):
    for name in sorted(map(os.fsencode, os.listdir(at))):
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
        full = path + b'/' + name if path else name
        entries.append(describe(full, at, status, name))
        if stat.S_ISDIR(status.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            walk(full, below, entries)
            os.close(below)

for line in sys.stdin.buffer:
    top = os.open(line.rstrip(b'\\n'), os.O_RDONLY | os.O_DIRECTORY)
    entries = [describe(b'', top, os.stat(top), b'.')]
    walk(b'', top, entries)
    os.close(top)
    print(json.dumps(entries))
`;
