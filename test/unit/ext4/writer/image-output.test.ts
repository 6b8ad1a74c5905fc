import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImageOutput } from '../../../../src/ext4/image-output.ts';
import { Refusal } from '../../../../src/ext4/refusal.ts';

/** A file in memory, whose writes begin and end as the test has it: the system does them in any order. */
function slowFile(bytes: Buffer, delay: (write: number) => Promise<unknown>): FileHandle {
  let writes = 0;
  const write = async (
    from: Buffer,
    start: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }> => {
    const part = Math.min(length, 100_000);
    writes += 1;
    await delay(writes);
    from.copy(bytes, position, start, start + part);
    return { bytesWritten: part };
  };
  return { write } as unknown as FileHandle;
}

void test('what is written last to a place is there, however slow what was before', async () => {
  const bytes = Buffer.alloc(4096);
  const file = slowFile(bytes, (write) => sleep(write === 1 ? 50 : 0));
  const output = new ImageOutput(file, 'image');
  output.write(0, Buffer.alloc(4096, 1));
  output.write(1024, Buffer.alloc(1024, 2));
  output.write(0, Buffer.alloc(512, 3));
  await output.flush();
  assert.deepEqual(
    [0, 511, 512, 1023, 1024, 2047, 2048, 4095].map((at) => bytes[at]),
    [3, 3, 1, 1, 2, 2, 1, 1],
  );
});

void test('what is given in any pieces arrives whole, though the system takes less at once', async () => {
  const given = Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => (i * 7) % 253));
  const bytes = Buffer.alloc(given.length);
  const output = new ImageOutput(
    slowFile(bytes, () => Promise.resolve()),
    'image',
  );
  let at = 0;
  for (let i = 0; at < given.length; i += 1) {
    const piece = Buffer.from(given.subarray(at, at + 1 + ((i * 99_991) % 2_500_000)));
    output.write(at, piece);
    at += piece.length;
    piece.fill(0xee);
    await output.room();
  }
  await output.flush();
  assert.ok(bytes.equals(given));
});

void test('a write that fails is told when there is next something to wait for', async () => {
  for (const [code, reason] of [
    ['EIO', 'file-system-failed'],
    ['EACCES', 'access-denied'],
    ['ENOSPC', 'no-space'],
    ['EDQUOT', 'no-space'],
  ] as const) {
    const broken = (): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }));
    const output = new ImageOutput(slowFile(Buffer.alloc(1), broken), 'image');
    output.write(0, Buffer.alloc(10));
    await assert.rejects(output.flush(), (error) => {
      assert.ok(error instanceof Refusal);
      assert.equal(error.failure.reason, reason);
      return true;
    });
  }
});

for (const fails of ['datasync', 'write'] as const)
  void test(`a disk whose ${fails} fails while content is still coming is told, and waited for`, async () => {
    const error = Object.assign(new Error('EIO'), { code: 'EIO' });
    let isSyncing = false;
    const datasync = async (): Promise<void> => {
      isSyncing = true;
      await sleep(20);
      isSyncing = false;
      if (fails === 'datasync') throw error;
    };
    const write = (_: Buffer, __: number, length: number): Promise<{ bytesWritten: number }> =>
      fails === 'write' && isSyncing
        ? Promise.reject(error)
        : Promise.resolve({ bytesWritten: length });
    const output = new ImageOutput({ write, datasync } as unknown as FileHandle, 'image');
    const piece = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < 65; at += 1) output.write(at * piece.length, piece);
    await assert.rejects(output.flush(), Refusal);
    assert.ok(!isSyncing, 'nothing is under way that needs the handle');
  });
