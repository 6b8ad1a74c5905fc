import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { compareSubjects } from '../../../src/diff/compare-subjects.ts';
import type { Difference } from '../../../src/diff/difference.ts';
import { openSubject } from '../../../src/inspect/open-subject.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import type { Result } from '../../../src/model/result.ts';
import { describeDifference } from '../../../src/report/describe-difference.ts';
import { createStore } from '../../../src/store/store.ts';
import {
  quiet,
  sampleImage,
  scratch,
  writeDockerArchive,
  writeOciArchive,
} from '../inspect/samples.ts';
import { draftUnpacked, writePins, writeUnpacked } from '../inspect/unpacked-image.ts';

async function compare(from: string, to: string): Promise<Result<Difference>> {
  const [a, b] = [await openSubject(from, {}, quiet()), await openSubject(to, {}, quiet())];
  assert.ok(a.ok && b.ok, JSON.stringify([a, b]));
  const compared = await compareSubjects(a.value, b.value, { most: 9 }, quiet());
  await a.value.close();
  await b.value.close();
  return compared;
}

/** What is told of blobs, a line each; never that the two are equal. */
async function blobLines(from: string, to: string): Promise<readonly string[]> {
  const compared = await compare(from, to);
  assert.ok(compared.ok, JSON.stringify(compared));
  assert.ok(!compared.value.isEqual);
  const text = describeDifference(compared.value);
  assert.doesNotMatch(text, /snapshot/);
  return text.split('\n').filter((line) => line.startsWith('  blob '));
}

void describe('diff of images whose blobs are not whole', () => {
  void it('tells of a missing layer, manifest or config of a data image, and of other bytes', async () => {
    const { dir, remove } = scratch();
    try {
      const draft = await draftUnpacked({ one: [{ a: 'a' }, { b: 'b' }] });
      const whole = await writeUnpacked(draft, dir, 'whole');
      const pins = writePins(draft, dir, 'pins');
      const pin = draft.pins.images['one'];
      assert.ok(pin !== undefined);
      const spoilt = join(dir, 'spoilt.ext4');
      for (const { digest } of [pin.manifest, pin.config, ...pin.layers]) {
        cpSync(whole, spoilt);
        execFileSync('debugfs', ['-w', '-R', `rm ${draft.blobPath(digest)}`, spoilt], {
          stdio: 'pipe',
        });
        assert.deepEqual(await blobLines(whole, spoilt), [`  blob ${digest}: there → missing`]);
        assert.deepEqual(await blobLines(spoilt, whole), [`  blob ${digest}: missing → there`]);
        assert.deepEqual(await blobLines(spoilt, spoilt), [`  blob ${digest}: missing → missing`]);
        assert.deepEqual(await blobLines(spoilt, pins), [`  blob ${digest}: missing → pinned`]);
      }
      const [layer] = pin.layers;
      const path = draft.blobPath(layer?.digest ?? '');
      const other = await draftUnpacked({ one: [{ a: 'a' }, { b: 'b' }] });
      const bytes = join(dir, 'bytes');
      writeFileSync(bytes, Buffer.alloc(layer?.size ?? 0, 'x'));
      const changed = await writeUnpacked(other, dir, 'changed');
      execFileSync('debugfs', ['-w', '-f', '-', changed], {
        input: `rm ${path}\nwrite ${bytes} ${path}\n`,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      const [told, ...more] = await blobLines(pins, changed);
      assert.deepEqual(more, []);
      assert.match(told ?? '', /: pinned → other bytes: sha256:[0-9a-f]{64}$/);
      assert.equal((await blobLines(changed, changed)).length, 1);
      const same = await compare(whole, pins);
      assert.ok(same.ok && same.value.isEqual);
    } finally {
      remove();
    }
  });

  void it('refuses layouts and archives that are not whole with 3', async () => {
    const { dir, remove } = scratch();
    try {
      const image = await sampleImage();
      const { layout } = await writeOciArchive(dir, image, 'example.org/app:1');
      const digest = image.layers[0]?.digest ?? '';
      const blob = (of: string): string => join(of, 'blobs', digest.replace(':', '/'));
      const [missing, changed] = [join(dir, 'missing'), join(dir, 'changed')];
      cpSync(layout, missing, { recursive: true });
      rmSync(blob(missing));
      cpSync(layout, changed, { recursive: true });
      writeFileSync(blob(changed), 'x');
      for (const [spoilt, what] of [
        [missing, /: missing$/],
        [changed, /: other bytes: sha256:/],
      ] as const) {
        const packed = `${spoilt}.tar`;
        execFileSync('tar', ['-C', spoilt, '-cf', packed, '.']);
        for (const [from, to] of [
          [layout, spoilt],
          [spoilt, layout],
          [packed, layout],
        ] as const) {
          const compared = await compare(from, to);
          assert.ok(!compared.ok && compared.failure.reason === 'source-bad');
          assert.equal(exitCodeOf(compared.failure), 3);
          assert.match(compared.failure.detail, what);
          assert.ok(compared.failure.detail.includes(digest));
        }
      }
      const same = await compare(layout, `${layout}.tar`);
      assert.ok(same.ok && same.value.isEqual);
      const archive = writeDockerArchive(dir);
      const docker = await compare(archive, archive);
      assert.ok(docker.ok && docker.value.isEqual, JSON.stringify(docker));
    } finally {
      remove();
    }
  });

  void it('refuses a store that lacks a blob with 3', async () => {
    const { dir, remove } = scratch();
    try {
      const image = await sampleImage();
      const { layout } = await writeOciArchive(dir, image, 'example.org/app:1');
      const store = join(dir, 'store');
      const opened = await createStore(store);
      assert.ok(opened.ok);
      for (const [digest, bytes] of image.blobs) {
        mkdirSync(dirname(opened.value.blobPath(digest as Digest)), { recursive: true });
        writeFileSync(opened.value.blobPath(digest as Digest), bytes);
      }
      const hex = image.descriptor.digest.replace(':', '_');
      const own = join(store, 'images', `example.org%2Fapp:1@${hex}`);
      mkdirSync(own, { recursive: true });
      for (const name of ['oci-layout', 'index.json']) cpSync(join(layout, name), join(own, name));
      const same = await compare(layout, store);
      assert.ok(same.ok && same.value.same === 1, JSON.stringify(same));
      const lost = image.layers[0]?.digest ?? '';
      rmSync(opened.value.blobPath(lost as Digest));
      const spoilt = await compare(layout, store);
      assert.ok(!spoilt.ok && spoilt.failure.reason === 'source-bad');
      assert.equal(spoilt.failure.detail, `${lost}: missing`);
    } finally {
      remove();
    }
  });
});
