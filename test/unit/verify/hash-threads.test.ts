import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openImage } from '../../../src/ext4/reader/open-image.ts';
import { digestOf } from '../../../src/model/digest.ts';
import { HashThreads } from '../../../src/verify/hash-threads.ts';
import { verifyDataImage } from '../../../src/verify/verify.ts';
import { noise } from '../../rig/image.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';
import { quiet, scratch } from '../inspect/samples.ts';
import { draftUnpacked, writeUnpacked } from '../inspect/unpacked-image.ts';

const MIB = 1024 * 1024;
const CONTENT = Buffer.from(noise(11, 3 * MIB + 17));

void describe('HashThreads', () => {
  void it('hashes places in their order, holes among them, and several lists at once', async (t) => {
    const image = join(temporaryTree(t), 'image');
    writeFileSync(image, CONTENT);
    const threads = new HashThreads(image);
    try {
      const [one, two] = await Promise.all([
        threads.hash([{ length: CONTENT.length, at: 0 }]),
        threads.hash([
          { length: 5, at: CONTENT.length - 5 },
          { length: 600_000 },
          { length: MIB, at: 100 },
        ]),
      ]);
      assert.equal(one, digestOf(CONTENT));
      const parts = [CONTENT.subarray(-5), Buffer.alloc(600_000), CONTENT.subarray(100, 100 + MIB)];
      assert.equal(two, digestOf(Buffer.concat(parts)));
      assert.equal(await threads.hash([]), digestOf(''));
    } finally {
      await threads.end();
    }
  });

  void it('says nothing of what can not be read, and goes on', async (t) => {
    const image = join(temporaryTree(t), 'image');
    writeFileSync(image, 'short');
    const threads = new HashThreads(image);
    try {
      assert.equal(await threads.hash([{ length: 6, at: 0 }]), undefined);
      assert.equal(await threads.hash([{ length: 5, at: 0 }]), digestOf('short'));
    } finally {
      await threads.end();
    }
    const missing = new HashThreads(`${image}.missing`);
    assert.equal(await missing.hash([{ length: 1, at: 0 }]), undefined);
    await missing.end();
  });

  void it('answers who waits when it ends', async (t) => {
    const image = join(temporaryTree(t), 'image');
    writeFileSync(image, CONTENT);
    const threads = new HashThreads(image);
    const places = Array.from({ length: 1000 }, () => ({ length: CONTENT.length, at: 0 }));
    const waiting = threads.hash(places);
    await threads.end();
    assert.equal(await waiting, undefined);
    assert.equal(await threads.hash([]), undefined);
    await threads.end();
  });
});

void describe('verify of large blobs', () => {
  void it('finds one byte that differs in any of them', async () => {
    const layers = [21, 22, 23].map((seed) => ({ [`big-${seed}`]: noise(seed, 8 * MIB) }));
    const { dir, remove } = scratch();
    try {
      const made = await draftUnpacked({ one: layers });
      const image = await writeUnpacked(made, dir, 'data', 80 * MIB);
      const expected = { pins: made.pins, dataRoot: 'docker' };
      const right = await verifyDataImage(image, expected, quiet());
      assert.ok(right.ok, JSON.stringify(right));
      for (const { digest, size } of made.pins.images['one']?.layers ?? []) {
        const at = await placeOf(image, digest, size);
        const [old = 0] = readFileSync(image).subarray(at, at + 1);
        writeByte(image, at, old ^ 1);
        const verified = await verifyDataImage(image, expected, quiet());
        writeByte(image, at, old);
        assert.equal(verified.ok, false);
        assert.ok(verified.failure.reason === 'not-verified', verified.failure.reason);
        assert.equal(verified.failure.findings.length, 1, verified.failure.findings.join('\n'));
        assert.match(verified.failure.findings[0] ?? '', new RegExp(`${digest} has other bytes`));
      }
    } finally {
      remove();
    }
  });
});

/** Where in the image the middle of a blob is, in bytes. */
async function placeOf(image: string, digest: string, size: number): Promise<number> {
  const opened = await openImage(image);
  assert.ok(opened.ok);
  const path = `docker/containerd/daemon/io.containerd.content.v1.content/blobs/${digest.replace(':', '/')}`;
  const blob = await opened.value.lookUp(Buffer.from(path), 'keep');
  assert.ok(blob.ok && blob.value !== undefined, path);
  assert.ok(blob.value.size === size && size > MIB);
  const places = await opened.value.placesOf(blob.value);
  await opened.value.close();
  assert.ok(places.ok && places.value !== undefined);
  const at = places.value[Math.floor(places.value.length / 2)]?.at;
  assert.ok(at !== undefined);
  return at;
}

function writeByte(path: string, at: number, byte: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.of(byte), 0, 1, at);
  closeSync(file);
}
