import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createImage } from '../../src/ext4/create-image.ts';
import { atEnd } from '../rig/owner.ts';
import { must as mustRun, mustAsRoot } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import {
  failureOf,
  file,
  must,
  noise,
  OPTIONS,
  writeImage,
} from '../unit/ext4/writer/write-image.ts';

void test('a disk that is full leaves what there was and nothing else', async (t) => {
  const point = temporaryTree(t);
  await mustAsRoot('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', point]);
  atEnd(t, async () => {
    await mustAsRoot('umount', [point]);
  });
  const image = join(point, 'image');
  const full = failureOf(await writeImage(image, {}, [file('f', noise(5_000_000))]));
  assert.equal(full.reason, 'no-space');
  assert.equal(full.where, image);
  assert.deepEqual(readdirSync(point), []);
  // It fits, and an older one is still there until then.
  must(await writeImage(image, {}, [file('f', noise(1000))]));
  const failed = failureOf(await writeImage(image, {}, [file('f', noise(5_000_000))]));
  assert.equal(failed.reason, 'no-space');
  assert.deepEqual(readdirSync(point), ['image']);
  await mustRun('e2fsck', ['-fn', image]);
  const nowhere = failureOf(await createImage(join(point, 'none', 'image'), OPTIONS));
  assert.equal(nowhere.reason, 'access-denied');
});
