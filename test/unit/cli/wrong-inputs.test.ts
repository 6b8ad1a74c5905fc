import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { diffCommand } from '../../../src/cli/commands/diff.ts';
import { inspectCommand } from '../../../src/cli/commands/inspect.ts';
import { verifyCommand } from '../../../src/cli/commands/verify.ts';
import { main } from '../../../src/cli/main.ts';
import { scratch } from '../inspect/samples.ts';
import { draftUnpacked, PATHS, writePins, writeUnpacked } from '../inspect/unpacked-image.ts';
import { bucket } from '../verify/data-image.ts';

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function say(t: TestContext, argv: readonly string[]): Promise<Said> {
  const said = { stdout: '', stderr: '' };
  const mocks = (['stdout', 'stderr'] as const).map((stream) => {
    const write = process[stream].write.bind(process[stream]);
    return t.mock.method(process[stream], 'write', (text: string | Uint8Array) => {
      // The runner's own reports, which are no text, are not ours.
      if (typeof text !== 'string') return write(text);
      said[stream] += text;
      return true;
    });
  });
  const code = await main(argv, [diffCommand, inspectCommand, verifyCommand]);
  for (const mock of mocks) mock.mock.restore();
  return { code, ...said };
}

async function refused(t: TestContext, argv: readonly string[], text: RegExp): Promise<void> {
  const { code, stderr } = await say(t, argv);
  assert.match(stderr, text, argv.join(' '));
  assert.equal(code, 2, stderr);
}

async function sample(
  dir: string,
): Promise<{ readonly image: string; readonly pins: string; readonly disk: string }> {
  const draft = await draftUnpacked({ one: [{ a: 'a' }] });
  const pins = writePins(draft, dir, 'pins');
  const images = bucket(draft.moby, 'images');
  // A second name, which makes no second image.
  images['example.org/one:latest'] = { ...bucket(images, 'example.org/one:1') };
  const image = await writeUnpacked(draft, dir, 'data');
  const disk = join(dir, 'disk.img');
  writeFileSync(disk, '');
  truncateSync(disk, 24 * 1024 * 1024);
  execFileSync('sfdisk', ['-q', disk], {
    input: 'label: gpt\nstart=2048, size=2048, name=boot\nstart=4096, size=16384, name=data\n',
  });
  execFileSync('dd', [`if=${image}`, `of=${disk}`, 'bs=1M', 'seek=2', 'conv=notrunc'], {
    stdio: 'pipe',
  });
  return { image, pins, disk };
}

test('a disk without its partition, and a place that is none, are wrong options', async (t) => {
  const { dir, remove } = scratch();
  try {
    const { image, pins, disk } = await sample(dir);
    for (const argv of [
      ['verify', disk, '-p', pins],
      ['verify', disk, '--self'],
      ['inspect', disk],
    ])
      await refused(t, argv, /--partition is not given.*partitions: boot, data/);
    for (const argv of [
      ['verify', image, '-p', pins],
      ['inspect', image],
      ['diff', image, pins],
    ]) {
      await refused(
        t,
        [...argv, '--partition', 'data'],
        /"data" can't be.*no GUID partition table/,
      );
      await refused(t, [...argv, '--offset', '4096'], /"4096" can't be.*no ext4 file system/);
      await refused(t, [...argv, '--offset', '99999999'], /less than the 8388608 bytes/);
      await refused(
        t,
        [...argv, '--data-root', '../x'],
        /--data-root "\.\.\/x" can't be.* has \.\./,
      );
    }
    const right = await say(t, ['verify', disk, '--self', '--partition', 'data']);
    assert.equal(right.code, 0, right.stderr);
    assert.match(right.stdout, /: ok: 1 image, /);
    const rooted = await say(t, ['inspect', image, '--data-root', '/docker/']);
    assert.match(rooted.stdout, /store containerd in docker,/);
  } finally {
    remove();
  }
});

test('what is none of the things that are read is told by what it looks like', async (t) => {
  const { dir, remove } = scratch();
  try {
    const write = (name: string, content: string | Uint8Array): string => {
      writeFileSync(join(dir, name), content);
      return join(dir, name);
    };
    const sector = Buffer.alloc(1024);
    sector.writeUInt16LE(0xaa55, 510);
    for (const [file, text] of [
      [write('empty', ''), /it is empty/],
      [write('bundle.yaml', '# mine\nstowage: 1\nimages: {}\n'), /it is a bundle: `stowage pin`/],
      [write('disk.qcow2', Buffer.from('514649fb00000003', 'hex')), /qcow2/],
      [write('boot.img', sector), /boot sector .*--offset/],
      [write('text', 'text'), /it is no data image, no pins/],
    ] as const) {
      await refused(t, ['inspect', file], text);
      await refused(t, ['diff', file, file], text);
    }
  } finally {
    remove();
  }
});

test('a tar or directory of what a data image holds is for mkfs', async (t) => {
  const { dir, remove } = scratch();
  try {
    const tree = join(dir, 'tree');
    mkdirSync(join(tree, dirname(PATHS.metaDb)), { recursive: true });
    writeFileSync(join(tree, PATHS.metaDb), 'db');
    const tar = join(dir, 'tree.tar');
    execFileSync('tar', ['-C', tree, '-cf', tar, '.']);
    for (const source of [tree, tar]) {
      await refused(t, ['inspect', source], /the content of a data image.*`stowage mkfs`/);
      await refused(t, ['verify', source, '--self'], /no file system: `stowage mkfs` makes one/);
    }
  } finally {
    remove();
  }
});
