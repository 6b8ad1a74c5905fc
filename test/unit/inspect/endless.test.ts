import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { compareSubjects } from '../../../src/diff/compare-subjects.ts';
import { openSubject } from '../../../src/inspect/open-subject.ts';
import type { Failure } from '../../../src/model/failure.ts';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import { verifyConsistency } from '../../../src/verify/verify.ts';
import type { Draft } from '../verify/data-image.ts';
import { DATA_ROOT, LABEL, draftImage, writeDraft } from '../verify/data-image.ts';
import { quiet, scratch } from './samples.ts';
import { draftUnpacked, writeUnpacked } from './unpacked-image.ts';

/** Whatever an image holds, reading it ends: none of these would have. */
const SOON = { timeout: 60_000 };

function change(image: string, ...requests: readonly string[]): void {
  execFileSync('debugfs', ['-w', '-f', '-', image], {
    input: `${requests.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

async function inspectChanged(
  requests: readonly string[],
  spoil: (draft: Draft) => void = () => undefined,
): Promise<Failure | undefined> {
  const draft = draftImage();
  spoil(draft);
  const { image, remove } = writeDraft(draft);
  try {
    change(image, ...requests);
    const subject = await openSubject(image, {}, quiet());
    if (!subject.ok) return subject.failure;
    await subject.value.close();
    return undefined;
  } finally {
    remove();
  }
}

async function verifyChanged(requests: readonly string[]): Promise<readonly string[]> {
  const { image, remove } = writeDraft(draftImage());
  try {
    change(image, ...requests);
    const expected = { dataRoot: DATA_ROOT, label: LABEL };
    const verified = await verifyConsistency(image, expected, quiet());
    assert.ok(!verified.ok && verified.failure.reason === 'not-verified');
    return verified.failure.findings;
  } finally {
    remove();
  }
}

void describe('inspect of what has no end', SOON, () => {
  void it('refuses directories that hold themselves, or have two names', async () => {
    const cases = [
      ['mkdir loop', 'link loop loop/self'],
      ['mkdir loop', 'link / loop/root'],
      ['mkdir a', 'mkdir a/b', 'link a a/b/a'],
      ['link extra again'],
    ];
    for (const requests of cases) {
      const failure = await inspectChanged(requests);
      assert.ok(failure?.reason === 'image-corrupt', requests.join(', '));
      assert.match(failure.detail, /^directory inode \d+ has (?:two names|an entry of inode 2)$/);
      assert.equal(exitCodeOf(failure), 3);
    }
    assert.equal(await inspectChanged([]), undefined);
  });

  void it('refuses a blob that is larger than its file system', async () => {
    const draft = draftImage();
    const layer = draft.pins.images['one']?.layers[0]?.digest;
    assert.ok(layer !== undefined);
    const failure = await inspectChanged([`sif ${draft.blob(layer)} size 0x100000000`]);
    assert.ok(failure?.reason === 'image-corrupt');
    assert.match(failure.detail, /4294967296 bytes, more than the file system/);
  });

  void it('refuses a config in a docker archive that is larger than any', async () => {
    const { dir, remove } = scratch();
    try {
      writeFileSync(join(dir, 'layer.tar'), '');
      truncateSync(join(dir, 'layer.tar'), 32 * 1024 * 1024 + 1);
      const list = [{ Config: 'layer.tar', RepoTags: ['app:1'], Layers: ['layer.tar'] }];
      writeFileSync(join(dir, 'manifest.json'), JSON.stringify(list));
      const archive = join(dir, 'save.tar');
      execFileSync('tar', ['-C', dir, '-cf', archive, 'layer.tar', 'manifest.json']);
      const subject = await openSubject(archive, {}, quiet());
      assert.ok(!subject.ok && subject.failure.reason === 'source-bad');
      assert.ok(subject.failure.problem === 'broken');
      assert.equal(subject.failure.detail, 'its layer.tar is too large');
    } finally {
      remove();
    }
  });

  void it('says of an index that it lists itself, and reads each one once', async () => {
    const { dir, remove } = scratch();
    try {
      const digests = Array.from({ length: 40 }, (_, i) => `${i}`.padStart(64, '0'));
      const blobs = join(dir, 'blobs', 'sha256');
      mkdirSync(blobs, { recursive: true });
      const index = (listed: readonly string[]): string =>
        JSON.stringify({
          schemaVersion: 2,
          manifests: listed.map((hex) => ({ digest: `sha256:${hex}`, size: 1, mediaType: 'x' })),
        });
      // Each lists the next one twice, the last one the first.
      digests.forEach((hex, i) => {
        const next = digests[(i + 1) % digests.length] ?? '';
        writeFileSync(join(blobs, hex), index([next, next]));
      });
      writeFileSync(join(dir, 'oci-layout'), '{}');
      writeFileSync(join(dir, 'index.json'), index(digests.slice(0, 1)));
      const subject = await openSubject(dir, {}, quiet());
      assert.ok(subject.ok);
      const { images } = subject.value.contents;
      assert.equal(images.length, 1);
      assert.match(images[0]?.problem ?? '', /^its index sha256:0{64} lists itself$/);
    } finally {
      remove();
    }
  });
});

void describe('verify of what has no end', SOON, () => {
  void it('finds directories of the data root that hold themselves', async () => {
    const findings = await verifyChanged([
      'mkdir docker/loop',
      'mkdir docker/loop/deep',
      'link docker/loop/deep docker/loop/deep/self',
    ]);
    assert.ok(
      findings.some((one) => /^docker\/loop\/deep\/self is a directory that has/.test(one)),
      findings.join('\n'),
    );
  });

  void it('finds a blob that is larger than the file system', async () => {
    const draft = draftImage();
    const layer = draft.pins.images['one']?.layers[0]?.digest;
    assert.ok(layer !== undefined);
    const findings = await verifyChanged([`sif ${draft.blob(layer)} size 0x100000000`]);
    assert.ok(findings.some((one) => one.includes('more than the file system')));
  });
});

void describe('diff of what has no end', SOON, () => {
  void it('refuses a layer that holds itself, on both sides alike', async () => {
    const { dir, remove } = scratch();
    try {
      const draft = await draftUnpacked({ one: [{ 'etc/': { type: 'directory' } }] });
      const image = await writeUnpacked(draft, dir, 'loop');
      const root = `${draft.snapshotPath('one', 0)}/fs`;
      change(image, `link ${root}/etc ${root}/etc/self`);
      const [a, b] = [await openSubject(image, {}, quiet()), await openSubject(image, {}, quiet())];
      assert.ok(a.ok && b.ok);
      const compared = await compareSubjects(a.value, b.value, { most: 9 }, quiet());
      await a.value.close();
      await b.value.close();
      assert.ok(!compared.ok && compared.failure.reason === 'image-corrupt');
      assert.match(compared.failure.detail, /has two names/);
    } finally {
      remove();
    }
  });
});
