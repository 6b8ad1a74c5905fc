import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Contents } from '../../../src/inspect/contents.ts';
import { imageSizes, sharedLayers, totals } from '../../../src/inspect/contents.ts';
import { openSubject } from '../../../src/inspect/open-subject.ts';
import type { Failure } from '../../../src/model/failure.ts';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import { formatPins } from '../../../src/model/pins-document.ts';
import { describeContents } from '../../../src/report/describe-contents.ts';
import { bucket, draftImage, varint, writeDraft } from '../verify/data-image.ts';
import { draftOverlay2, writeOverlay2 } from '../verify/overlay2-image.ts';
import { quiet, sampleImage, scratch, writeDockerArchive, writeOciArchive } from './samples.ts';

async function look(
  source: string,
  options: Parameters<typeof openSubject>[1] = {},
): Promise<Contents> {
  const subject = await openSubject(source, options, quiet());
  assert.ok(subject.ok, JSON.stringify(subject));
  await subject.value.close();
  return subject.value.contents;
}

async function refused(
  source: string,
  options: Parameters<typeof openSubject>[1] = {},
): Promise<Failure> {
  const subject = await openSubject(source, options, quiet());
  assert.ok(!subject.ok);
  return subject.failure;
}

void describe('inspect of archives', () => {
  void it('shows a layout and its archive, packed or not, alike', async () => {
    const { dir, remove } = scratch();
    try {
      const image = await sampleImage();
      const { layout, archive } = await writeOciArchive(dir, image, 'example.org/app:1');
      const packed = join(dir, 'packed.tar.gz');
      writeFileSync(packed, execFileSync('gzip', ['-c', archive]));
      const [first, ...others] = [await look(layout), await look(archive), await look(packed)];
      assert.deepEqual(
        others.map(({ kind }) => kind),
        ['OCI archive', 'OCI archive'],
      );
      assert.equal(first.kind, 'OCI layout');
      for (const other of others) assert.deepEqual(other.images, first.images);
      const [only] = first.images;
      assert.deepEqual(only?.names, ['example.org/app:1']);
      assert.equal(only.platform, 'linux/arm64');
      assert.equal(only.manifest, image.descriptor.digest);
      assert.equal(only.config, image.config.digest);
      assert.deepEqual(
        only.layers.map(({ digest, packed: size }) => ({ digest, size })),
        image.layers.map(({ digest, size }) => ({ digest, size })),
      );
      // gzip says how much it unpacks to.
      assert.ok(only.layers.every(({ unpacked = 0 }) => unpacked % 512 === 0 && unpacked >= 2048));
      assert.equal(only.problem, undefined);
    } finally {
      remove();
    }
  });

  void it('shows docker archives, whose layers may be links', async () => {
    for (const linked of [false, true]) {
      const { dir, remove } = scratch();
      try {
        const contents = await look(writeDockerArchive(dir, linked));
        assert.equal(contents.kind, 'docker archive');
        const [image] = contents.images;
        assert.deepEqual(image?.names, ['docker.io/library/app:1', 'docker.io/library/app:latest']);
        assert.equal(image.manifest, undefined);
        assert.equal(image.layers.length, 2);
        assert.ok(image.layers.every(({ packed }) => packed === 10240));
        assert.match(describeContents(contents), /also docker\.io\/library\/app:latest/);
      } finally {
        remove();
      }
    }
  });

  void it('says what an image lacks', async () => {
    const { dir, remove } = scratch();
    try {
      const { layout } = await writeOciArchive(dir, await sampleImage(), 'app:1');
      const [before] = (await look(layout)).images;
      const lost = before?.layers[1]?.digest ?? '';
      execFileSync('rm', [join(layout, 'blobs', lost.replace(':', '/'))]);
      const [after] = (await look(layout)).images;
      assert.equal(after?.problem, `${lost} is missing`);
      assert.match(describeContents(await look(layout)), /is missing/);
    } finally {
      remove();
    }
  });

  void it('refuses what is damaged with 3 and what is something else with 2', async () => {
    const { dir, remove } = scratch();
    try {
      const { archive } = await writeOciArchive(dir, await sampleImage(), 'app:1');
      const cut = join(dir, 'cut.tar');
      writeFileSync(cut, readFileSync(archive).subarray(0, 3000));
      const text = join(dir, 'text');
      writeFileSync(text, 'nothing of the kind');
      const tree = join(dir, 'tree.tar');
      execFileSync('tar', ['-C', dir, '-cf', tree, 'text']);
      const cases = [
        [cut, 'source-bad', 3],
        [text, 'invalid-document', 2],
        [tree, 'invalid-document', 2],
        [join(dir, 'missing'), 'invalid-document', 2],
        [dir, 'invalid-document', 2],
        ['/dev/null', 'invalid-document', 2],
      ] as const;
      for (const [path, reason, code] of cases) {
        const failure = await refused(path);
        assert.equal(failure.reason, reason, path);
        assert.equal(exitCodeOf(failure), code, path);
      }
    } finally {
      remove();
    }
  });
});

void describe('inspect of pins', () => {
  void it('tells of images, layers and files', async () => {
    const { dir, remove } = scratch();
    try {
      const { pins } = draftImage();
      const file = join(dir, 'pins.json');
      writeFileSync(file, formatPins({ targets: { 'linux/amd64': pins } }));
      const contents = await look(file);
      assert.equal(contents.kind, 'pins');
      assert.deepEqual(
        contents.images.map(({ names }) => names.length),
        [2, 1],
      );
      assert.deepEqual(contents.files.map(({ path }) => path).sort(), [
        '.empty',
        'extra/deep/file',
      ]);
      assert.equal(sharedLayers(contents.images).length, 1);
    } finally {
      remove();
    }
  });
});

void describe('inspect of data images', () => {
  void it('shows what an engine with the containerd store has', async () => {
    const draft = draftImage();
    for (const [name, record] of Object.entries(bucket(draft.own, 'snapshots')))
      (record as Record<string, Buffer>)['size'] = varint(name.includes('moby/1/') ? 4096 : 8192);
    const { image, remove } = writeDraft(draft);
    try {
      const contents = await look(image);
      assert.equal(contents.kind, 'data image');
      const { one, two } = draft.pins.images;
      assert.deepEqual(
        contents.images.map(({ names, manifest, index }) => ({ names, manifest, index })),
        [
          { names: one?.names, manifest: one?.manifest.digest, index: undefined },
          { names: two?.names, manifest: two?.manifest.digest, index: two?.index },
        ],
      );
      assert.deepEqual(contents.engine, {
        dataRoot: 'docker',
        store: 'containerd',
        layout: 'daemon',
        schema: 4,
        snapshots: 4,
        foreign: 0,
        containers: 0,
        extraBlobs: 0,
        extraBytes: 0,
      });
      assert.equal(contents.fileSystem?.label, 'test-data');
      assert.ok(contents.fileSystem.free > 0 && contents.fileSystem.clean);
      assert.deepEqual(contents.files, [
        { path: '.empty', size: 0, mode: '0644' },
        { path: 'extra/deep/file', size: 4, mode: '0640' },
      ]);
      // The base is 4096 bytes on disk, and each of the three others 8192; both images have it.
      assert.deepEqual(
        imageSizes(contents.images).map(({ onDisk }) => onDisk),
        [4096 + 8192, 4096 + 8192],
      );
      assert.equal(totals(contents.images).onDisk, 4096 + 2 * 8192);
      const text = describeContents(contents);
      assert.match(text, /label test-data, UUID [0-9a-f-]{36}/);
      assert.match(
        text,
        /store containerd in docker, schema 4 \(containerd 2\), 4 layers unpacked/,
      );
      assert.match(text, /SHARED LAYER/);
    } finally {
      remove();
    }
  });

  void it('finds the partition of a disk image, and asks which where there are several', async () => {
    const { image, remove } = writeDraft(draftImage());
    try {
      const disk = `${image}.disk`;
      writeFileSync(disk, '');
      truncateSync(disk, 24 * 1024 * 1024);
      const sectors =
        'label: gpt\nstart=2048, size=2048, name=boot\nstart=4096, size=32768, name=data\n';
      execFileSync('sfdisk', ['-q', disk], { input: sectors });
      execFileSync('dd', [
        `if=${image}`,
        `of=${disk}`,
        'bs=1M',
        'seek=2',
        'conv=notrunc',
        'status=none',
      ]);
      const whole = await look(image);
      const named = await look(disk, { place: { partition: 'data' } });
      const placed = await look(disk, { place: { offset: 2 * 1024 * 1024 } });
      assert.deepEqual({ ...named, source: '' }, { ...whole, source: '' });
      assert.deepEqual({ ...placed, source: '' }, { ...whole, source: '' });
      const failure = await refused(disk);
      assert.ok(failure.reason === 'invalid-option');
      assert.match(failure.expected, /boot, data/);
    } finally {
      remove();
    }
  });

  void it('shows what an engine with overlay2 has', async () => {
    const { image, remove } = writeOverlay2(draftOverlay2());
    try {
      const contents = await look(image);
      assert.equal(contents.engine?.store, 'overlay2');
      assert.deepEqual(
        contents.images.map(({ names, layers }) => [names[0], layers.length]),
        [
          ['example.org/one:1', 3],
          ['example.org/two:1', 2],
        ],
      );
      assert.equal(contents.images[0]?.layers[0]?.unpacked, 7);
      assert.equal(sharedLayers(contents.images).length, 1);
    } finally {
      remove();
    }
  });

  void it('shows a file system with no data root, and refuses a damaged database', async () => {
    const { dir, remove } = scratch();
    try {
      const image = join(dir, 'plain.ext4');
      mkdirSync(join(dir, 'tree'));
      writeFileSync(join(dir, 'tree', 'file'), 'text');
      execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', join(dir, 'tree'), image, '8M']);
      const contents = await look(image);
      assert.equal(contents.engine, undefined);
      assert.deepEqual(
        contents.files.map(({ path }) => path),
        ['file'],
      );
      assert.match(describeContents(contents), /no data root/);
      const draft = writeDraft(draftImage());
      try {
        const db = 'docker/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db';
        const commands = `rm ${db}\nwrite ${join(dir, 'tree', 'file')} ${db}\n`;
        execFileSync('debugfs', ['-w', '-f', '-', draft.image], { input: commands, stdio: 'pipe' });
        const failure = await refused(draft.image);
        assert.equal(failure.reason, 'image-corrupt');
        assert.equal(exitCodeOf(failure), 3);
      } finally {
        draft.remove();
      }
    } finally {
      remove();
    }
  });
});
