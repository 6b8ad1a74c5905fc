import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage } from '../../../src/mkfs/make-image.ts';
import type { TreeItem } from '../../../src/mkfs/tree-reader.ts';
import { fileOwner } from '../../rig/owner.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

const dir = temporaryTree(fileOwner());
const MIB = 1024 * 1024;
const common = { mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } };

/** More than an image of 8 MiB has room for; `between` is called before each file that comes after. */
async function* tooMuch(between: () => void): AsyncGenerator<TreeItem, void> {
  yield { entry: { ...common, type: 'directory', path: Buffer.alloc(0), mode: 0o755 } };
  for (let index = 0; index < 20; index++) {
    await Promise.resolve();
    if (index === 15) between();
    const path = Buffer.from(`file${index}`);
    yield { entry: { ...common, type: 'file', path, size: MIB }, content: Buffer.alloc(MIB, 1) };
  }
}

async function failureOf(
  items: AsyncGenerator<TreeItem, void>,
  signal: AbortSignal,
): Promise<object> {
  const options = {
    ...{ size: 8 * MIB, epoch: 0 },
    ...{ uuid: '11111111-2222-4333-8444-555555555555', hashSeed: UUID },
  };
  const context = { signal, report: () => undefined };
  let isClosed = false;
  const tree = {
    next: async () => {
      assert.ok(!isClosed);
      return (await items.next()).value ?? undefined;
    },
    place: () => ({ input: 'tree' }),
    close: () => {
      isClosed = true;
      return Promise.resolve();
    },
  };
  const made = await makeImage(tree, join(dir, 'image'), options, {}, context);
  assert.ok(!made.ok);
  assert.ok(isClosed);
  assert.deepEqual(readdirSync(dir), []);
  return made.failure;
}

const UUID = '11111111-2222-4333-8444-666666666666';

void test('what does not fit is told with a size that would do', async () => {
  const { signal } = new AbortController();
  const failure = await failureOf(
    tooMuch(() => undefined),
    signal,
  );
  assert.ok('reason' in failure && failure.reason === 'no-space');
  assert.ok('fits' in failure && Number(failure.fits) > 20 * MIB);
});

void test('an interruption while the rest of the tree is counted is one', async () => {
  const controller = new AbortController();
  const failure = await failureOf(
    tooMuch(() => {
      controller.abort();
    }),
    controller.signal,
  );
  assert.ok('reason' in failure);
  assert.equal(failure.reason, 'interrupted');
});
