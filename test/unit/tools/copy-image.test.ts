import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { copyImage } from '../../../src/tools/copy-image.ts';

const SIZE = 9 * 1024 * 1024 + 123;

function original(t: TestContext): { readonly from: string; readonly to: string } {
  const directory = mkdtempSync(join(tmpdir(), 'stowage-copy-'));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const from = join(directory, 'from');
  const bytes = Buffer.alloc(3 * 1024 * 1024, 'content');
  writeFileSync(from, bytes.fill(0, 100_000, 2_500_000));
  truncateSync(from, SIZE);
  return { from, to: join(directory, 'to') };
}

for (const how of ['with cp', 'without cp'] as const)
  test(`${how} a copy has the bytes and the holes, and is on the disk when it says so`, async (t) => {
    const { from, to } = original(t);
    if (how === 'without cp') {
      const path = process.env['PATH'];
      process.env['PATH'] = '/nonexistent';
      t.after(() => {
        process.env['PATH'] = path;
      });
    }
    const copied = await copyImage(from, to);
    assert.ok(copied.ok, JSON.stringify(copied));
    assert.deepEqual(await copied.value.synced, { ok: true, value: undefined });
    assert.ok(readFileSync(to).equals(readFileSync(from)));
    assert.ok(statSync(to).blocks * 512 < 2 * 1024 * 1024, `${statSync(to).blocks} blocks`);
  });

test('what is there stays, and is told of', async (t) => {
  const { from, to } = original(t);
  writeFileSync(to, 'mine');
  const copied = await copyImage(from, to);
  assert.ok(!copied.ok);
  assert.equal(readFileSync(to, 'utf8'), 'mine');
});

test('a call-off ends it', async (t) => {
  const { from, to } = original(t);
  const copied = await copyImage(from, to, AbortSignal.abort());
  assert.ok(!copied.ok);
});
