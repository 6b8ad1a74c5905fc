/**
 * Run by root as a program of its own, with a directory where the kernel has a file system mounted: fills it with
 * whatever it can hold (`late`: times past 2038 too), and prints what the kernel sees there as JSON.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
  type BigIntStats,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of one path: what stat, readlink and getxattr say. Times are nanoseconds. */
export interface Facts {
  readonly type: string;
  readonly inode: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size?: number;
  readonly mtime: string;
  readonly atime: string;
  readonly ctime: string;
  readonly device?: string;
  /** In hexadecimal digits. */
  readonly target?: string;
  /** SHA-256 of the content, if it is no larger than `HASHED`. */
  readonly content?: string;
  /** Values in hexadecimal digits. */
  readonly xattrs: Readonly<Record<string, string>>;
}

/** Paths are latin1. */
export type Tree = Readonly<Record<string, Facts>>;

/** What the kernel sees, and stretches of `SPARSE`, which is too large to be compared as a whole. */
export interface Seen {
  readonly tree: Tree;
  readonly marks: readonly {
    readonly start: number;
    readonly end: number;
    readonly sha256: string;
  }[];
}

export const HASHED = 200e6;
/** Of files that are larger: where something was written. */
const MARKS = [0, 11 * 1024, 300 * 1024, 67 * 2 ** 20, 5 * 2 ** 30];
export const SPARSE = 'files/huge';

function populate(root: string): void {
  const at = (path: string): string => join(root, path);
  mkdirSync(at('files'));
  for (const size of [0, 1, 59, 60, 61, 100, 160, 1023, 1024, 4095, 4096, 4097, 65536, 3_500_001])
    writeFileSync(at(`files/${size}`), noise(size));
  writeMarks(at(SPARSE));
  writeHoles(at('files/holes'), 3000);
  // Before it is closed what is allocated and never written is not there.
  const unwritten = at('files/unwritten');
  writeFileSync(unwritten, noise(10_000));
  try {
    execFileSync('fallocate', ['-o', '5000', '-l', '3000000', unwritten], { stdio: 'ignore' });
  } catch {
    // ext2 and ext3 can't.
  }
  mkdirSync(at('links'));
  for (const length of [1, 58, 59, 60, 61, 120, 1000])
    symlinkSync('t'.repeat(length), at(`links/${length}`));
  symlinkSync('../files', at('links/up'));
  symlinkSync('/links/up/1', at('links/absolute'));
  symlinkSync('circle', at('links/circle'));
  linkSync(at('files/61'), at('links/hard'));
  linkSync(at('links/60'), at('files/hard-symlink'));
  makeDirectories(at);
  makeSpecial(at);
  makeXattrs(at);
  utimesSync(at('files/1'), -86_400.25, -3.5);
}

function makeDirectories(at: (path: string) => string): void {
  mkdirSync(at('empty'));
  mkdirSync(at('many'));
  for (let i = 0; i < 2500; i += 1)
    writeFileSync(at(`many/${'name of a file '.repeat(3)}${i}`), '');
  mkdirSync(at('few'));
  for (let i = 0; i < 12; i += 1) writeFileSync(at(`few/${i}`), String(i));
  mkdirSync(at('gaps'));
  for (let i = 0; i < 300; i += 1) writeFileSync(at(`gaps/${'g'.repeat(200)}${i}`), '');
  execFileSync('find', [at('gaps'), '-name', '*7', '-delete']);
  let deep = 'deep';
  for (let i = 0; i < 40; i += 1) {
    mkdirSync(at(deep));
    deep += '/d';
  }
  writeFileSync(
    Buffer.concat([Buffer.from(at('few/')), Buffer.from([0xff, 0x20, 0xfe, 0x0a])]),
    'x',
  );
  writeFileSync(at('n'.repeat(255)), 'long');
}

function makeSpecial(at: (path: string) => string): void {
  mkdirSync(at('special'));
  for (const [name, ...device] of [
    ['null', 'c', '1', '3'],
    ['large', 'b', '259', '70000'],
    ['pipe', 'p'],
  ])
    execFileSync('mknod', [at(`special/${name ?? ''}`), ...device]);
  execFileSync('python3', [
    '-c',
    'import socket,sys,os; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind("socket")',
    at('special'),
  ]);
  writeFileSync(at('special/setuid'), '#!');
  chownSync(at('special/setuid'), 100_000, 2_000_000_000);
  chmodSync(at('special/setuid'), 0o6751);
  mkdirSync(at('special/sticky'));
  chmodSync(at('special/sticky'), 0o1777);
}

function makeXattrs(at: (path: string) => string): void {
  mkdirSync(at('xattrs'));
  for (const name of ['few', 'block', 'acl', 'caps', 'large'])
    writeFileSync(at(`xattrs/${name}`), name);
  const set = (path: string, name: string, value: string): void => {
    execFileSync('setfattr', ['-h', '-n', name, '-v', value, at(path)]);
  };
  set('xattrs/few', 'user.a', '"1"');
  set('xattrs/few', 'trusted.overlay.opaque', '"y"');
  set('xattrs/few', 'user.empty', '""');
  set('xattrs/block', 'user.in', '"here"');
  set('xattrs/block', 'user.much', `0x${'5a'.repeat(600)}`);
  set('xattrs', 'security.of-a-directory', '0x0001ff');
  set('links/60', 'trusted.of-a-link', '"l"');
  set('special/pipe', 'trusted.of-a-pipe', '"p"');
  execFileSync('setcap', ['cap_net_raw+ep', at('xattrs/caps')]);
  execFileSync('setfacl', ['-m', 'u:70000:rw,g:5:r,u:1:-', at('xattrs/acl')]);
  execFileSync('setfacl', ['-d', '-m', 'u:9:rwx', at('xattrs')]);
  try {
    set('xattrs/large', 'user.large', `0x${'c3'.repeat(20_000)}`);
  } catch {
    // Only with ea_inode.
  }
}

function writeMarks(path: string): void {
  const file = openSync(path, 'w');
  for (const mark of MARKS)
    try {
      writeSync(file, noise(5000), 0, 5000, mark + 123);
    } catch {
      // Beyond what a file of this file system can be.
    }
  closeSync(file);
}

/** Every second piece of 4 KiB, from the last to the first: an extent for each. */
function writeHoles(path: string, count: number): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, count * 8192 + 77);
  const piece = noise(4096);
  for (let i = count - 1; i >= 0; i -= 1) {
    piece.writeUInt32LE(i);
    writeSync(file, piece, 0, piece.length, i * 8192);
  }
  closeSync(file);
}

function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0, x = size + 1; i < size; i += 1) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

function look(root: string): Tree {
  const xattrs = allXattrs(root);
  const tree: Record<string, Facts> = {};
  const visit = (path: Buffer): void => {
    const full = Buffer.concat([Buffer.from(`${root}/`), path]);
    const status = lstatSync(full, { bigint: true });
    const key = path.toString('latin1');
    tree[key] = describe(full, status, xattrs[key] ?? {});
    if (!status.isDirectory()) return;
    for (const name of readdirSync(full, { encoding: 'buffer' }))
      visit(path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name]));
  };
  visit(Buffer.alloc(0));
  return tree;
}

function describe(path: Buffer, status: BigIntStats, xattrs: Record<string, string>): Facts {
  const type = typeOf(status);
  const size = Number(status.size);
  return {
    type,
    inode: String(status.ino),
    mode: Number(status.mode) & 0o7777,
    uid: Number(status.uid),
    gid: Number(status.gid),
    links: Number(status.nlink),
    mtime: String(status.mtimeNs),
    atime: String(status.atimeNs),
    ctime: String(status.ctimeNs),
    xattrs,
    ...(type === 'file' ? { size } : {}),
    ...(type === 'file' && size <= HASHED ? { content: hashFile(path) } : {}),
    ...(type === 'symlink' ? { target: readlinkSync(path, 'buffer').toString('hex') } : {}),
    ...(type.endsWith('device') ? { device: deviceOf(Number(status.rdev)) } : {}),
  };
}

function typeOf(status: BigIntStats): string {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isCharacterDevice()) return 'character device';
  if (status.isBlockDevice()) return 'block device';
  return status.isFIFO() ? 'fifo' : 'socket';
}

function deviceOf(device: number): string {
  return `${(device >>> 8) & 0xfff} ${(device & 0xff) | ((device >>> 12) & 0xfff00)}`;
}

function hashFile(path: Buffer): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  const piece = Buffer.alloc(1 << 20);
  for (let count = readSync(file, piece); count > 0; count = readSync(file, piece))
    hash.update(piece.subarray(0, count));
  closeSync(file);
  return hash.digest('hex');
}

/** Around everything that was written there. */
function readMarks(path: string): Seen['marks'] {
  const { size } = lstatSync(path);
  const file = openSync(path, 'r');
  const marks = MARKS.filter((mark) => mark < size).map((mark) => {
    const start = Math.max(mark - 100, 0);
    const bytes = Buffer.alloc(1_500_000);
    const end = start + readSync(file, bytes, 0, bytes.length, start);
    return {
      start,
      end,
      sha256: createHash('sha256')
        .update(bytes.subarray(0, end - start))
        .digest('hex'),
    };
  });
  closeSync(file);
  return marks;
}

/** All of a tree at once, by getfattr: Node has no such call. */
function allXattrs(root: string): Record<string, Record<string, string>> {
  const dump = execFileSync('getfattr', ['-R', '-h', '-P', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: root,
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 1 << 28,
  }).toString('latin1');
  const found: Record<string, Record<string, string>> = {};
  for (const paragraph of dump.split('\n\n')) {
    const [first = '', ...lines] = paragraph.split('\n').filter((line) => line !== '');
    const path = unescape(first.replace(/^# file: (\.\/)?/, ''));
    found[path === '.' ? '' : path] = Object.fromEntries(
      lines.map((line) => {
        const equals = line.indexOf('=');
        const [name, value] =
          equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 3)];
        return [unescape(name), value];
      }),
    );
  }
  return found;
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory = '', times] = process.argv.slice(2);
  populate(directory);
  if (times === 'late')
    utimesSync(join(directory, 'files/59'), 5_000_000_000.125, 9_000_000_000.75);
  const seen: Seen = { tree: look(directory), marks: readMarks(join(directory, SPARSE)) };
  process.stdout.write(JSON.stringify(seen));
}
