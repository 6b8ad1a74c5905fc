import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdSize } from '../../../src/oci/zstd-size.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

test('the size that zstd notes is read, whatever its width', async (t) => {
  const dir = temporaryTree(t);
  for (const size of [0, 1, 255, 256, 65_791, 65_792, 1_000_000, 5_000_000_000]) {
    const plain = join(dir, `${size}`);
    writeFileSync(plain, '');
    truncateSync(plain, size);
    const packed = `${plain}.zst`;
    await must('zstd', ['-q', '-1', plain, '-o', packed]);
    assert.equal(zstdSize(packed), size);
  }
});

test('what was packed from a pipe, is cut off or is something else has none', async (t) => {
  const dir = temporaryTree(t);
  const path = join(dir, 'piped.zst');
  await must('sh', ['-c', `head -c 100000 /dev/zero | zstd -q -o ${path}`]);
  assert.equal(zstdSize(path), undefined);
  const short = join(dir, 'short');
  writeFileSync(short, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa4, 1, 2]));
  assert.equal(zstdSize(short), undefined);
  writeFileSync(short, 'not at all a frame');
  assert.equal(zstdSize(short), undefined);
  assert.equal(zstdSize(join(dir, 'nothing')), undefined);
});
