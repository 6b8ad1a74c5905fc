import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { dataImageContent } from '../rig/data-image-content.ts';
import { must } from '../rig/process.ts';
import { runStowage } from '../rig/stowage.ts';
import type { Board, HomeAssistant } from './boards.ts';

/** What Home Assistant OS's data partition has besides the images. */
const FILES = [
  '.docker-use-containerd-snapshotter',
  'supervisor/apparmor/hassio-supervisor',
  'supervisor/updater.json',
];

export interface Expected {
  readonly channel?: string;
  readonly page?: 'landingpage' | 'core';
}

/** Is what make put into `images` the board's data image, and nothing but the board's? */
export async function assertDataImage(
  t: TestContext,
  images: string,
  product: HomeAssistant,
  board: Board,
  { channel = 'stable', page = 'landingpage' }: Expected = {},
): Promise<void> {
  const image = join(images, 'data.ext4');
  const verified = await runStowage(t, ['verify', image]);
  assert.equal(verified.code, 0, verified.stderr);
  const { pins } = JSON.parse(readFileSync(join(images, 'data.json'), 'utf8')) as {
    readonly pins: { readonly targets: Readonly<Record<string, unknown>> };
  };
  const variables = [
    ...(channel === 'stable' ? [] : [`channel=${channel}`]),
    `versions=${product.versions}`,
  ];
  const target = [board.platform, board.machine, ...variables].join(' ');
  assert.deepEqual(Object.keys(pins.targets), [target]);
  // What nothing of ours reads: what the kernel mounts, and what e2fsprogs says of it.
  const content = await dataImageContent(t, image);
  const names = Object.entries(product.names(board, page)).sort();
  assert.deepEqual(content.names, Object.fromEntries(names));
  const files = content.files.split('\n').filter((line) => / 644 0:0 \d+ /u.test(line));
  assert.deepEqual(
    files.map((line) => line.split(' ')[0]),
    FILES,
  );
  const updater = await must('debugfs', ['-R', 'cat supervisor/updater.json', image]);
  assert.deepEqual(JSON.parse(updater), { channel });
  assert.match(await must('dumpe2fs', ['-h', image]), /^Filesystem volume name: +hassos-data$/mu);
}
