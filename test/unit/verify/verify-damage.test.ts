import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { digestOf, hexOf } from '../../../src/model/digest.ts';
import type { Context } from '../../../src/model/event.ts';
import { verifyDataImage } from '../../../src/verify/verify.ts';
import { DATA_ROOT, LABEL, bucket, draftImage, writeDraft } from './data-image.ts';
import { blobs, findingsOf, judge, one, remove, watch } from './judge.ts';

/** By debugfs, behind the back of all checksums of content. */
function change(image: string, command: string): void {
  execFileSync('debugfs', ['-w', '-R', command, image], { stdio: 'pipe' });
}

describe('verifyDataImage, of what is not in the records', () => {
  it('finds damage below the files', async () => {
    const dirty = await judge(
      () => undefined,
      (image) => {
        change(image, 'set_super_value state 0');
      },
    );
    assert.deepEqual(dirty.findings, ['the file system was not unmounted properly']);
    const owner = await judge(
      () => undefined,
      (image) => {
        change(image, 'set_inode_field /.empty uid 1000');
      },
    );
    assert.deepEqual(owner.findings, ['file .empty belongs to 1000:0 instead of 0:0']);
    const linked = await judge(
      () => undefined,
      (image) => {
        change(image, 'set_inode_field /.empty links_count 7');
      },
    );
    assert.equal(linked.findings.length, 1);
    assert.match(linked.findings[0] ?? '', /^e2fsck: /);
  });

  it('finds a damaged database', async () => {
    const draft = draftImage();
    const { image, remove: clean } = writeDraft(draft);
    try {
      const nothing = `${image}.nothing`;
      writeFileSync(nothing, 'nothing');
      const database = '/docker/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db';
      execFileSync('debugfs', ['-w', '-f', '-', image], {
        input: `rm ${database}\nwrite ${nothing} ${database.slice(1)}\n`,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      const expected = { dataRoot: DATA_ROOT, pins: draft.pins };
      const findings = findingsOf(await verifyDataImage(image, expected, watch().context));
      assert.deepEqual(findings, [`${database.slice(1)} is damaged: no valid meta page`]);
    } finally {
      clean();
    }
  });

  it('takes layers for kept that another image of the same keeps, and only then', async () => {
    for (const isKept of [true, false]) {
      const draft = draftImage({ twin: true });
      if (!isKept) remove(bucket(blobs(draft), one(draft).config.digest), 'labels');
      const { image, remove: clear } = writeDraft(draft);
      try {
        const expected = { dataRoot: DATA_ROOT, label: LABEL, pins: draft.pins };
        const findings = findingsOf(await verifyDataImage(image, expected, watch().context));
        const wanted = ['one', 'twin'].map(
          (name) =>
            `image ${name}: containerd may collect its snapshots: its config's label is missing`,
        );
        assert.deepEqual(findings, isKept ? [] : wanted);
      } finally {
        clear();
      }
    }
  });

  it('tells a wrong label, no data root, and a file that is no image', async () => {
    const draft = draftImage();
    const { image, remove: clean } = writeDraft(draft);
    const { context } = watch();
    try {
      const { pins } = draft;
      assert.deepEqual(
        findingsOf(
          await verifyDataImage(image, { pins, dataRoot: DATA_ROOT, label: 'x' }, context),
        ),
        ['the label is "test-data" instead of "x"'],
      );
      const elsewhere = await verifyDataImage(image, { pins, dataRoot: 'other' }, context);
      assert.ok(findingsOf(elsewhere).includes('the data root: /other is missing'));
      const missing = await verifyDataImage(`${image}.no`, { pins, dataRoot: DATA_ROOT }, context);
      assert.ok(!missing.ok && missing.failure.reason === 'invalid-document');
      truncateSync(image, 8 * 1024 * 1024);
      assert.deepEqual(
        findingsOf(await verifyDataImage(image, { pins, dataRoot: DATA_ROOT }, context)),
        ['it is cut off: 8388608 bytes of 16777216'],
      );
      truncateSync(image, 0);
      assert.deepEqual(
        findingsOf(await verifyDataImage(image, { pins, dataRoot: DATA_ROOT }, context)),
        ['the file is empty'],
      );
    } finally {
      clean();
    }
  });

  it('stops when it is told to', async () => {
    const draft = draftImage();
    const { image, remove: clean } = writeDraft(draft);
    try {
      const expected = { dataRoot: DATA_ROOT, pins: draft.pins };
      const context: Context = { report: () => undefined, signal: AbortSignal.abort() };
      const stopped = await verifyDataImage(image, expected, context);
      assert.ok(!stopped.ok && stopped.failure.reason === 'interrupted', hexOf(digestOf('')));
    } finally {
      clean();
    }
  });

  it('finds leases and unfinished downloads', async () => {
    const { findings } = await judge((draft) => {
      bucket(draft.moby, 'leases')['left'] = { createdat: Buffer.alloc(15) };
      bucket(draft.moby, 'content', 'ingests')['partly'] = { ref: 'x' };
    });
    assert.deepEqual(findings, [
      'containerd has a lease left, left from building: it would keep content for ever',
      'containerd has an unfinished download partly',
    ]);
  });

  it('wants nothing unpacked where images are to be packed', async () => {
    const draft = draftImage();
    const { image, remove } = writeDraft(draft);
    try {
      const expected = { pins: draft.pins, dataRoot: DATA_ROOT, unpack: false };
      const findings = findingsOf(await verifyDataImage(image, expected, watch().context));
      assert.ok(findings.some((finding) => finding.includes('is unpacked, and images are to be')));
      assert.ok(findings.some((finding) => finding.includes('refers to a snapshot')));
    } finally {
      remove();
    }
  });
});
