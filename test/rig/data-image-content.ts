import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { containerdPaths, readContainerdStore } from '../../src/data-root/containerd-store.ts';
import { mountLoop } from './loop-mount.ts';
import type { Owner } from './owner.ts';
import { mustAsRoot } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

/** All that a data image holds for an engine and its user, with nothing in it that chance decides. */
export interface DataImageContent {
  /** Names and what they point at. */
  readonly names: Readonly<Record<string, string>>;
  readonly blobs: readonly string[];
  /** By chain ID: every file, with mode, owner, target, size, time and bytes. */
  readonly snapshots: Readonly<Record<string, string>>;
  /** Outside the data root. */
  readonly files: string;
}

/** `$1` is where, the rest are tests that come first. */
const LISTING = [
  'cd "$1" && shift && find . -mindepth 1 "$@" \\(',
  String.raw`-type d -printf '%P/ %m %U:%G\n'`,
  String.raw`-o -type f -printf '%P %m %U:%G %s %T@ ' -exec sha256sum -z {} \; -printf '\n'`,
  String.raw`-o -printf '%P %y %m %U:%G %l\n' \) | tr -d '\0' | LC_ALL=C sort`,
].join(' ');

/** Mounts it read-only for as long as it is read. Times of extra files are left out with `times: false`. */
export async function dataImageContent(owner: Owner, image: string): Promise<DataImageContent> {
  const mount = join(temporaryTree(owner), 'mnt');
  await mkdir(mount);
  const unmount = await mountLoop(owner, image, mount, ['ro', 'noload']);
  try {
    const paths = containerdPaths('docker', 'daemon');
    const store = readContainerdStore(
      readFileSync(join(mount, paths.metaDb)),
      readFileSync(join(mount, paths.snapshotsDb)),
    );
    if (!store.ok) throw new Error(JSON.stringify(store.failure));
    const snapshots: Record<string, string> = {};
    for (const [chainId, { record }] of store.value.snapshots) {
      const id = store.value.records.get(record)?.id;
      snapshots[chainId] = await listing(join(mount, paths.snapshots, `${id}`, 'fs'));
    }
    const top = ['(', '-path', './docker', '-o', '-path', './lost+found', ')', '-prune', '-o'];
    return {
      names: Object.fromEntries(
        [...store.value.images].map(([name, { target }]) => [name, target.digest] as const).sort(),
      ),
      blobs: readdirSync(join(mount, paths.blobs)).sort(),
      snapshots: Object.fromEntries(Object.entries(snapshots).sort()),
      // When extra files were written is when they were written.
      files: (await listing(mount, top)).replace(/ \d+\.\d+ (?=[0-9a-f]{64} )/g, ' '),
    };
  } finally {
    await unmount();
  }
}

function listing(directory: string, tests: readonly string[] = []): Promise<string> {
  return mustAsRoot('bash', ['-c', LISTING, 'listing', directory, ...tests]);
}
