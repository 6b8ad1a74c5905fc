import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WrittenLayer } from '../../../../src/oci/layer/lower-layers.ts';
import { member, pax } from '../tar/blocks.ts';
import { applyMembers } from './written-tree.ts';

const file = (name: string, content = '', more: Parameters<typeof member>[0] = {}): Buffer =>
  member({ name, content, ...more });
const directory = (name: string, more: Parameters<typeof member>[0] = {}): Buffer =>
  member({ name, type: '5', mode: '0000750', mtime: 3, ...more });
const symlink = (name: string, link: string): Buffer => member({ name, type: '2', link });
const hardLink = (name: string, link: string, more: Parameters<typeof member>[0] = {}): Buffer =>
  member({ name, type: '1', link, ...more });
const acl = (entries: readonly (readonly [number, number, number?])[]): string =>
  Buffer.concat([
    Buffer.from([2, 0, 0, 0]),
    ...entries.map(([tag, may, id]) => {
      const entry = Buffer.from([tag, 0, may, 0, 0x7f, 0x7f, 0x7f, 0x7f]);
      if (id !== undefined) entry.writeUInt32LE(id, 4);
      return entry;
    }),
  ]).toString('latin1');
const CAPABLE = `\x01\0\0\x02${'\0'.repeat(16)}`;
const xattr = (name: string, value: string): Buffer => pax([[`SCHILY.xattr.${name}`, value]]);

interface Case {
  /** From the base up; the last is the one that is looked at. */
  readonly layers: readonly (readonly Buffer[])[];
  readonly tree: readonly string[] | string;
  /** It can't be written as it comes. */
  readonly foreseen?: true;
}

const F = 'file 644 0:0 @0';
const IMPLIED = 'directory 755 0:0 @7';

/** As containerd applies them, where its sources say so; those that an engine was asked about are the same. */
const CASES: Readonly<Record<string, Case>> = {
  'files, directories, links and devices are what the archive says': {
    layers: [
      [
        directory('d/', { uid: 5 }),
        file('d/f', 'text', { mode: '0004755', mtime: 9 }),
        symlink('d/s', '/anywhere'),
        hardLink('h', 'd/f', { mode: '0004755', mtime: 9 }),
        member({ name: 'c', type: '3', at: { 329: '0000001', 337: '0000003' } }),
        member({ name: 'p', type: '6' }),
      ],
    ],
    tree: [
      'c: character device 644 0:0 @0 1:3',
      'd/f: file 4755 0:0 @9 "text" x2',
      'd/s: symlink 777 0:0 @0 -> /anywhere',
      'd: directory 750 5:0 @3',
      'h: file 4755 0:0 @9 "text" x2',
      'p: fifo 644 0:0 @0',
    ],
  },
  'nothing is above the root': {
    layers: [[file('../../up', 'u'), file('/abs', 'a'), file('./x/../y', 'y'), directory('./')]],
    tree: [`abs: ${F} "a"`, `up: ${F} "u"`, `y: ${F} "y"`],
  },
  'the root stays as the engine makes it': {
    layers: [[directory('./', { uid: 9 }), directory('/'), directory('..'), file('a', '1')]],
    tree: [`a: ${F} "1"`],
  },
  'parents that have no member are root’s': {
    layers: [[file('a/b/c', '1')]],
    tree: [`a/b/c: ${F} "1"`, `a/b: ${IMPLIED}`, `a: ${IMPLIED}`],
  },
  'parents are as in the topmost lower layer that has them': {
    layers: [
      [xattr('user.k', 'v'), directory('a/', { uid: 5 }), directory('a/b/'), file('a/b/x')],
      [directory('a/', { uid: 6, mtime: 4 })],
      [file('a/b/c', '1')],
    ],
    tree: ['a/b/c: ' + F + ' "1"', 'a/b: directory 750 0:0 @3', 'a: directory 750 6:0 @4'],
  },
  'extended attributes of parents come along': {
    layers: [
      [xattr('user.k', 'v'), directory('a/', { uid: 5 })],
      [file('a/c', '1')],
      [file('a/d', '2')],
    ],
    tree: [`a/d: ${F} "2"`, 'a: directory 750 5:0 @3 user.k=v'],
  },
  'a parent that a lower layer has replaced is root’s': {
    layers: [[directory('a/', { uid: 5 })], [file('a', 'no directory')], [file('a/c', '1')]],
    tree: [`a/c: ${F} "1"`, `a: ${IMPLIED}`],
  },
  'a parent below a file of a lower layer is refused': {
    layers: [[file('a', 'no directory')], [file('a/b/c', '1')]],
    tree: 'it is below what is no directory in a lower layer',
  },
  'a parent far below a file of a lower layer is refused': {
    layers: [[file('a/b', 'no directory')], [file('a/b/c/d/e', '1')]],
    tree: 'it is below what is no directory in a lower layer',
  },
  'a parent beside a file of a lower layer is root’s': {
    layers: [[file('a/b', 'no directory')], [file('a/c/d', '1')]],
    tree: [`a/c/d: ${F} "1"`, `a/c: ${IMPLIED}`, `a: ${IMPLIED}`],
  },
  'parents follow links of lower layers': {
    layers: [
      [directory('usr/'), directory('usr/lib/', { uid: 8 }), symlink('lib', 'usr/lib')],
      [file('lib/x', 'x')],
    ],
    tree: [`lib/x: ${F} "x"`, 'lib: directory 750 8:0 @3'],
  },
  'a whiteout above is a device, of the owner that its member has': {
    layers: [[file('gone')], [file('.wh.gone', '', { uid: 3 }), file('d/.wh.never')]],
    tree: [
      'd/never: character device 0 0:0 @7 0:0',
      `d: ${IMPLIED}`,
      'gone: character device 0 3:0 @7 0:0',
    ],
  },
  'a whiteout in a base deletes': {
    layers: [[directory('d/'), file('d/a', '1'), file('d/b', '2'), file('d/.wh.a')]],
    tree: [`d/b: ${F} "2"`, 'd: directory 750 0:0 @3'],
    foreseen: true,
  },
  'a whiteout of nothing in a base is nothing': {
    layers: [[file('.wh.a'), file('b', '2')]],
    tree: [`b: ${F} "2"`],
  },
  'what was deleted in a base may come again': {
    layers: [[file('a', '1'), file('.wh.a'), file('a', '2')]],
    tree: [`a: ${F} "2"`],
    foreseen: true,
  },
  'a directory that a base deletes is missed when its time is set': {
    layers: [[directory('d/'), file('.wh.d')]],
    tree: 'it is a directory that the same layer takes away again',
    foreseen: true,
  },
  'a whiteout of what the same layer has is refused': {
    layers: [[], [file('a'), file('.wh.a')]],
    tree: 'it is a whiteout of what the same layer has',
  },
  'a file takes the place of a whiteout before it': {
    layers: [[], [file('.wh.a'), file('a', '1')]],
    tree: [`a: ${F} "1"`],
  },
  'whiteouts of nothing at all are refused': {
    layers: [[], [file('d/.wh.')]],
    tree: 'it is a whiteout of nothing',
  },
  'whiteouts of the directory above are refused': {
    layers: [[], [file('d/.wh...')]],
    tree: 'it is a whiteout of nothing',
  },
  'an opaque directory says so': {
    layers: [[file('d/x')], [directory('d/'), file('d/.wh..wh..opq'), file('d/y', '1')]],
    tree: [`d/y: ${F} "1"`, 'd: directory 750 0:0 @3 trusted.overlay.opaque=y'],
  },
  'an opaque root says so': {
    layers: [[], [file('.wh..wh..opq')]],
    tree: [': directory 755 0:0 @7 trusted.overlay.opaque=y'],
  },
  'a directory that is told of after it is opaque stays so': {
    layers: [[], [file('d/.wh..wh..opq'), directory('d/')]],
    tree: ['d: directory 750 0:0 @3 trusted.overlay.opaque=y'],
  },
  'opaque in a base takes away what has no member': {
    layers: [[directory('d/'), file('d/e/f', '1'), file('d/g', '2'), file('d/.wh..wh..opq')]],
    tree: [`d/g: ${F} "2"`, 'd: directory 750 0:0 @3'],
    foreseen: true,
  },
  'the administrator’s attributes are dropped, and those of nobody': {
    layers: [
      [
        pax([
          ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
          ['SCHILY.xattr.user.k', 'v'],
          ['SCHILY.xattr.other', 'o'],
          ['LIBARCHIVE.xattr.user.l', 'bm8='],
          ['SCHILY.acl.access', 'user::rw-,group::r--,other::r--,user:5:rwx,mask::rwx'],
        ]),
        file('f', '1'),
      ],
    ],
    tree: ['f: file 644 0:0 @0 user.k=v "1"'],
  },
  'attributes of users on links are dropped': {
    layers: [[xattr('user.k', 'v'), symlink('s', 'x')]],
    tree: ['s: symlink 777 0:0 @0 -> x'],
  },
  'names of attributes that Linux does not take are refused': {
    layers: [[xattr(`user.${'n'.repeat(251)}`, 'v'), file('f')]],
    tree: `its extended attribute "user.${'n'.repeat(251)}" has a name of more than 255 bytes`,
  },
  'capabilities of no version are refused': {
    layers: [[xattr('security.capability', 'none'), file('f')]],
    tree: 'its extended attribute "security.capability" is no set of capabilities',
  },
  'a list of who may do what follows the mode': {
    layers: [
      [
        xattr(
          'system.posix_acl_access',
          acl([
            [1, 6],
            [2, 4, 9],
            [4, 4],
            [16, 4],
            [32, 0],
          ]),
        ),
        file('f', '1', { mode: '0000751' }),
      ],
    ],
    tree: [
      `f: file 751 0:0 @0 system.posix_acl_access=${acl([
        [1, 7],
        [2, 4, 9],
        [4, 4],
        [16, 5],
        [32, 1],
      ])} "1"`,
    ],
  },
  'a list that says what the mode says is none': {
    layers: [
      [
        xattr(
          'system.posix_acl_access',
          acl([
            [1, 6],
            [4, 4],
            [32, 4],
          ]),
        ),
        file('f', '1'),
      ],
    ],
    tree: [`f: ${F} "1"`],
  },
  'nobody as owner is whoever has it': {
    layers: [[file('f', '1', { uid: Buffer.from([0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]) })]],
    tree: [`f: ${F} "1"`],
  },
  'what is made in a directory of a group belongs to the group': {
    layers: [[directory('d/', { mode: '0002775', at: { 116: '0000007' } }), file('d/e/f', '1')]],
    tree: [`d/e/f: ${F} "1"`, 'd/e: directory 755 0:7 @7', 'd: directory 2775 0:7 @3'],
  },
  'headers for all members are nobody’s': {
    layers: [[pax([['uid', '77']], 'g'), file('f', '1')]],
    tree: [`f: ${F} "1"`],
  },
  'a link in the layer is followed within it': {
    layers: [
      [
        directory('real/'),
        symlink('to', '/real'),
        symlink('up', '../../../real'),
        file('to/a', '1'),
        file('up/b', '2'),
      ],
    ],
    tree: [
      `real/a: ${F} "1"`,
      `real/b: ${F} "2"`,
      'real: directory 750 0:0 @3',
      'to: symlink 777 0:0 @0 -> /real',
      'up: symlink 777 0:0 @0 -> ../../../real',
    ],
  },
  'a link to nothing makes what it names': {
    layers: [[symlink('to', 'not/there'), file('to/a', '1')]],
    tree: [
      `not/there/a: ${F} "1"`,
      `not/there: ${IMPLIED}`,
      `not: ${IMPLIED}`,
      'to: symlink 777 0:0 @0 -> not/there',
    ],
  },
  'links of the layer below are not followed': {
    layers: [[symlink('to', 'real')], [file('to/a', '1')]],
    tree: [`to/a: ${F} "1"`, `to: ${IMPLIED}`],
  },
  'links in a circle are refused': {
    layers: [[symlink('a', 'b'), symlink('b', 'a'), file('a/x')]],
    tree: 'symbolic links lead in a circle',
  },
  'what is below a file is refused': {
    layers: [[file('a'), file('a/b')]],
    tree: '"a" is no directory',
  },
  'a link takes the place of a directory, and its time is another’s': {
    layers: [[directory('d/'), directory('e/', { mtime: 5 }), symlink('d', 'e')]],
    tree: ['d: symlink 777 0:0 @0 -> e', 'e: directory 750 0:0 @5'],
  },
  'the same name twice is the later one': {
    layers: [[file('a', '1'), file('a', '22', { uid: 4 })]],
    tree: ['a: file 644 4:0 @0 "22"'],
  },
  'a file takes the place of a directory with all that is in it': {
    layers: [[file('a/b/c', '1'), file('a', '2')]],
    tree: [`a: ${F} "2"`],
    foreseen: true,
  },
  'a directory takes the place of a file': {
    layers: [[file('a', '1'), directory('a/'), file('a/b', '2')]],
    tree: [`a/b: ${F} "2"`, 'a: directory 750 0:0 @3'],
  },
  'a directory twice is one, as it was said last': {
    layers: [
      [directory('a/', { uid: 1 }), file('a/b', '2'), directory('a/', { uid: 2, mtime: 8 })],
    ],
    tree: [`a/b: ${F} "2"`, 'a: directory 750 2:0 @8'],
  },
  'a hard link to a lower layer is refused': {
    layers: [[file('a')], [hardLink('b', 'a')]],
    tree: 'it is a hard link to "a", which this layer does not have',
  },
  'a hard link to a directory is refused': {
    layers: [[directory('a/'), hardLink('b', 'a')]],
    tree: 'it is a hard link to a directory',
  },
  'a hard link to itself is refused': {
    layers: [[file('a', '1'), hardLink('a', 'a')]],
    tree: 'it is a hard link to "a", which this layer does not have',
  },
  'a hard link out of the layer ends at its root': {
    layers: [[file('a', '1'), hardLink('b', '../../a')]],
    tree: [`a: ${F} "1" x2`, `b: ${F} "1" x2`],
  },
  'a hard link to a symbolic link is one': {
    layers: [[symlink('s', 'x'), hardLink('b', 's')]],
    tree: ['b: symlink 777 0:0 @0 -> x x2', 's: symlink 777 0:0 @0 -> x x2'],
  },
  'a hard link says anew how the file is': {
    layers: [[file('a', '1'), hardLink('b', 'a', { uid: 9, mode: '0000600', mtime: 4 })]],
    tree: ['a: file 600 9:0 @4 "1" x2', 'b: file 600 9:0 @4 "1" x2'],
    foreseen: true,
  },
  'a hard link that does not say them takes capabilities away': {
    layers: [[xattr('security.capability', CAPABLE), file('a', '1'), hardLink('b', 'a')]],
    tree: [`a: ${F} "1" x2`, `b: ${F} "1" x2`],
    foreseen: true,
  },
  'the first name of a file may go': {
    layers: [[file('a', '1'), hardLink('b', 'a'), file('.wh.a')]],
    tree: [`b: ${F} "1"`],
    foreseen: true,
  },
  'times that Go does not know are 1970': {
    layers: [
      [
        pax([['mtime', '-5']]),
        file('a', '1'),
        pax([['mtime', '9223372037']]),
        file('b', '2'),
        pax([['mtime', '1.5']]),
        file('c', '3'),
      ],
    ],
    tree: [`a: ${F} "1"`, `b: ${F} "2"`, 'c: file 644 0:0 @1 "3"'],
  },
  'names of 256 bytes are refused': {
    layers: [[pax([['path', 'n'.repeat(256)]]), file('x')]],
    tree: 'a part of its name has 256 bytes, and Linux takes 255',
  },
  'names of 255 bytes are taken': {
    layers: [[pax([['path', 'n'.repeat(255)]]), file('x', '1')]],
    tree: [`${'n'.repeat(255)}: ${F} "1"`],
  },
  'types that Go’s reader does not give are refused': {
    layers: [[member({ name: 'x', type: '7' })]],
    tree: 'it is of the type "7", which is not known',
  },
  'a symbolic link to nothing is refused': {
    layers: [[symlink('a', '')]],
    tree: 'it is a symbolic link to nothing',
  },
  'nothing at all is a layer': { layers: [[]], tree: [] },
};

for (const [name, { layers, tree, foreseen = false }] of Object.entries(CASES))
  void test(name, async () => {
    let applied: Awaited<ReturnType<typeof applyMembers>> | undefined;
    const below: WrittenLayer[] = [];
    for (const members of layers) {
      if (applied?.written !== undefined) below.unshift(applied.written);
      applied = await applyMembers(members, below);
    }
    assert.deepEqual(applied?.tree, tree);
    assert.equal(applied.foreseen, foreseen);
  });

void test('inodes are counted once, and the root with them', async () => {
  const { written } = await applyMembers([
    file('d/a', 'x'.repeat(5000)),
    hardLink('d/b', 'd/a'),
    symlink('s', 'd'),
  ]);
  assert.equal(written?.inodes, 4);
  // Two directories and the two blocks of the file.
  assert.equal(written.size, 4 * 4096);
});
