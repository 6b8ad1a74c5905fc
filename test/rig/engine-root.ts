import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DindImage } from './dind-image.ts';
import { must, run } from './process.ts';

/**
 * A data root of this machine's dockerd that holds a dind image, in build/engine/: to load that image takes seconds, and
 * most files of tests want it. Copies share the files of unpacked layers by hard links, which an engine never writes to.
 * For root alone: nobody else could remove what lies in build/ then.
 */
async function rootOf(dind: DindImage): Promise<string> {
  const version = await must('dockerd', ['--version']);
  const name = `${version.trim().replace(/[^\w.-]+/g, '-')}-${basename(dind.layout)}`;
  return join(fileURLToPath(new URL('../../build/engine', import.meta.url)), name);
}

/** Makes `root`, which does not exist, a copy of what was kept; false where nothing was. */
export async function copyRoot(dind: DindImage, root: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const kept = await rootOf(dind);
  if (!existsSync(kept)) return false;
  await copy(kept, root);
  return true;
}

/** Keeps a copy of the data root of an engine that is not running. */
export async function keepRoot(dind: DindImage, root: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const kept = await rootOf(dind);
  await must('mkdir', ['-p', join(kept, '..')]);
  const staging = await mkdtemp(`${kept}.`);
  try {
    await copy(root, join(staging, 'root'));
    // Each engine is to have one of its own.
    await must('rm', ['-f', join(staging, 'root', 'engine-id')]);
    // Another process may have been sooner: its result will do.
    if (!existsSync(kept)) await run('mv', ['-T', join(staging, 'root'), kept]);
  } finally {
    await must('rm', ['-rf', staging]);
  }
}

/** Databases and the like are changed in place: of them each has its own. */
const COPY = `set -e
cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2"; cp -a "$1" "$2"; }
cd "$1"
find . -path './overlay2/*/diff' -prune -o -type f -exec cp -a --remove-destination --parents -t "$2" '{}' +`;

async function copy(from: string, to: string): Promise<void> {
  await must('sh', ['-c', COPY, 'copy', from, to]);
}
