import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { mountLoop } from '../rig/loop-mount.ts';
import { makeImage, makeLayer } from '../rig/image.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { rounds } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { makeScene, otherInputs, startBuildFixture } from './build-fixture.ts';

/** Builds that run out of room: on the partition, on the builder, in its engine. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);

test('a fixed size that turns out too small while images are loaded', async (t) => {
  const scene = await makeScene(t, fixture);
  await scene.fails(
    scene.start(['--size', '84M']),
    7,
    /\nstowage: no space left in the data image: (\d+M) are needed, 84M there are\n {2}hint: give a larger --size \(\1 should do\), or --size auto\n$/,
  );
});

/** A small file system of its own for the output. */
async function smallDisk(t: TestContext, kind: 'tmpfs' | 'ext4', size: string): Promise<string> {
  const directory = temporaryTree(t);
  if (kind === 'tmpfs') {
    await mustAsRoot('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'small', directory]);
    atEnd(t, async () => {
      await mustAsRoot('umount', [directory]);
    });
  } else {
    const disk = join(temporaryTree(t), 'disk');
    await must('truncate', ['--size', size, disk]);
    await must('mke2fs', ['-q', '-t', 'ext4', '-m', '0', disk]);
    await mountLoop(t, disk, directory);
    await mustAsRoot('rm', ['-r', join(directory, 'lost+found')]);
  }
  return directory;
}

for (const kind of ['tmpfs', 'ext4'] as const)
  test(`the builder's disk, ${kind}, fills up below the data image`, async (t) => {
    const scene = await makeScene(t, fixture, await smallDisk(t, kind, '100M'));
    const ended = await scene.fails(
      scene.start(),
      7,
      new RegExp(
        `\\nstowage: no space left in ${scene.outputs}: .* are needed, .* there are\\n {2}hint: make room there and run again`,
      ),
    );
    assert.match(ended.stderr, /load images/);
  });

test('a disk that never had the room is refused before anything is done', async (t) => {
  const scene = await makeScene(t, fixture, await smallDisk(t, 'tmpfs', '40M'));
  const ended = await scene.fails(
    scene.start(),
    7,
    /\nstowage: no space left in \S+: .* there are\n/,
  );
  assert.doesNotMatch(ended.stderr, /make file system/);
});

test('more files than the partition has inodes', async (t) => {
  const empty = Object.fromEntries(
    Array.from({ length: rounds(30_000, 120_000) }, (_, index) => [
      `f/${index % 100}/${index}`,
      '',
    ]),
  );
  const image = await makeImage({ platform: 'linux/amd64', layers: [await makeLayer(empty)] });
  const inputs = await otherInputs(fixture, 'many', image);
  const fixed = await makeScene(t, fixture);
  await fixed.fails(
    fixed.start(['--size', '64M'], {}, inputs),
    7,
    /\nstowage: no space left in the data image.*\n {2}hint: give a larger --size.* or --size auto\n$/,
  );
  // Enough of them to outgrow the first estimate: then it is larger, and has more inodes.
  if (rounds(0, 1) === 0) return;
  const auto = await makeScene(t, fixture);
  const built = await auto.start([], {}, inputs).ended;
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /the estimated size was too small: trying again/);
});

test("no room in the storage of the builder's engine", async (t) => {
  const scene = await makeScene(t, fixture);
  const bin = temporaryTree(t);
  const real = (await must('sh', ['-c', 'command -v docker'])).trim();
  // As dockerd's storage does it: the dind image is not there, and does not fit.
  writeFileSync(
    join(bin, 'docker'),
    `#!/bin/sh
case "$1 $2" in
  'image inspect') echo 'Error: No such image' >&2; exit 1 ;;
  load*) echo 'Error response from daemon: write /usr/bin/dockerd: no space left on device' >&2; exit 1 ;;
esac
exec ${real} "$@"
`,
    { mode: 0o755 },
  );
  const env = { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` };
  await scene.fails(
    scene.start([], { env }),
    7,
    /\nstowage: no space left in the storage of docker\n {2}hint: make room there/,
  );
});
