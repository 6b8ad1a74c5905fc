import type { HostileCase } from './case.ts';
import { directory, extended, file, gnuLong, hostile, LOWER, symlink } from './case.ts';

const long = (length: number): string => 'n'.repeat(length);
/** A path of so many bytes, in parts of at most 200. */
function path(length: number): string {
  const parts: string[] = [];
  for (let rest = length; rest > 0; rest -= 201) parts.push('p'.repeat(Math.min(200, rest)));
  return parts.join('/');
}

/** What members are called. */
export const NAMES: readonly HostileCase[] = [
  hostile('dot-dot-first', [file('../escape')]),
  hostile('dot-dot-many', [file('../../../../../../../../tmp/escape')]),
  hostile('dot-dot-in-the-middle', [file('a/../../escape')]),
  hostile('dot-dot-that-stays', [file('a/b/../c')]),
  hostile('dot-dot-alone', [directory('..', { mode: '0000700', uid: 7 }), file('x')]),
  hostile('dot-dot-at-the-end', [directory('a/'), directory('a/..', { mode: '0000700' })]),
  hostile('dot-dot-through-a-symlink', [
    directory('a/'),
    directory('a/b/'),
    symlink('link', 'a/b'),
    file('link/../x'),
  ]),
  hostile('three-dots', [file('.../x'), file('..x'), file('x..')]),
  hostile('absolute', [file('/etc/file')]),
  hostile('absolute-with-dot-dot', [file('/../etc/file')]),
  hostile('slashes-first', [file('///etc///file')]),
  hostile('slashes-twice', [directory('a//'), file('a//b')]),
  hostile('dot-slash-first', [directory('./'), directory('./a'), file('./a/b')]),
  hostile('dot-in-the-middle', [file('a/./b')]),
  hostile('dot-alone', [directory('.', { mode: '0000700', uid: 5, gid: 6 })]),
  hostile('dot-slash-alone', [directory('./', { mode: '0000700', uid: 5, gid: 6 })]),
  hostile('dot-slash-in-an-upper-layer', LOWER, [directory('./', { mode: '0000700', uid: 5 })]),
  hostile('slash-alone', [directory('/', { mode: '0000700', uid: 5, gid: 6 }), file('x')]),
  hostile('root-as-a-file', [file('.', 'content'), file('x')]),
  hostile('root-as-a-symlink', [symlink('./', '/tmp'), file('x')]),
  hostile('empty-name', [file('', 'content'), file('x')]),
  hostile('empty-name-of-a-directory', [directory('', { mode: '0000700' }), file('x')]),
  hostile('file-with-a-slash-at-its-end', [file('file/', '')]),
  hostile('file-with-a-slash-and-content', [file('file/', 'content'), file('next')]),
  hostile('directory-without-a-slash', [directory('directory'), file('directory/x')]),
  hostile('name-of-255-bytes', [extended({ path: long(255) }), file('x')]),
  hostile('name-of-256-bytes', [extended({ path: long(256) }), file('x')]),
  hostile('directory-of-256-bytes', [extended({ path: `${long(256)}/x` }), file('x')]),
  hostile('path-of-2000-bytes', [extended({ path: path(2000) }), file('x')]),
  hostile('path-of-4000-bytes', [extended({ path: path(4000) }), file('x')]),
  hostile('path-of-5000-bytes', [extended({ path: path(5000) }), file('x')]),
  hostile('name-that-is-no-text', [file('\xe9\xff/\xc3('), directory('\x80')]),
  hostile('name-that-is-no-text-in-a-record', [
    extended({ path: Buffer.from('latin-\xe9', 'latin1') }),
    file('x'),
  ]),
  hostile('name-with-control-characters', [
    file('a\nb'),
    file('tab\t'),
    file('\x1b[31m'),
    file('\\'),
  ]),
  hostile('name-with-nul', [extended({ path: 'a\0b' }), file('x')]),
  hostile('names-that-differ-in-form', [file('\xc3\xa9'), file('e\xcc\x81'), file('E\xcc\x81')]),
  hostile('name-in-two-fields', [file('name', 'x', { prefix: 'prefix/of/it' })]),
  hostile('name-in-two-fields-that-leads-out', [file('name', 'x', { prefix: '../..' })]),
  hostile('name-of-gnu', [gnuLong('L', `${long(120)}/${long(130)}`), file('x')]),
  hostile('name-of-gnu-that-leads-out', [gnuLong('L', `../${long(120)}`), file('x')]),
  hostile('lost-and-found', [directory('lost+found/', { mode: '0000700' }), file('lost+found/x')]),
];
