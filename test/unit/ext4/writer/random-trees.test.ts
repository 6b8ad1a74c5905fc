import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { assertClean, bothE2fsprogs } from '../../../rig/e2fsprogs.ts';
import { rounds } from '../../../rig/skip.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';
import { arbitraryOptions, arbitrarySteps, entryOf, inPieces } from './arbitrary-entries.ts';
import { ExpectedTree, knownInImage } from './expected-tree.ts';
import type { Added } from './write-image.ts';
import { must, OPTIONS, writeImage } from './write-image.ts';

void test('any tree is clean, and read back as it was given', async (t) => {
  const judges = await bothE2fsprogs();
  const image = join(temporaryTree(t), 'image');
  const oldAndSteps = fc
    .tuple(arbitraryOptions, fc.boolean())
    .chain(([options]) =>
      fc.tuple(fc.constant(options), arbitrarySteps(options.inodeSize === 128)),
    );
  await fc.assert(
    fc.asyncProperty(oldAndSteps, async ([options, steps]) => {
      const expected = new ExpectedTree(OPTIONS.epoch);
      const added: Added[] = [];
      for (const step of steps) {
        const made = entryOf(step, expected);
        if (made === undefined) continue;
        const [entry, content] = made;
        expected.add(entry, content);
        added.push(content === undefined ? [entry] : [entry, inPieces(content, step.pieces)]);
      }
      must(await writeImage(image, options, added));
      await assertClean(image, judges);
      const found = await knownInImage(image);
      const wanted = expected.known();
      assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort());
      for (const [path, known] of wanted) {
        // Inodes of 128 bytes have no time of their making.
        const made = options.inodeSize === 128 ? { crtime: known['crtime'] } : {};
        assert.deepEqual({ ...found.get(path), ...made }, known, path);
      }
    }),
    { includeErrorInReport: true, numRuns: rounds(40, 2000), seed: rounds(20_260, Date.now()) },
  );
});
