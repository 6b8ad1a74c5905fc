import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Context } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import type { Owner } from '../../store/owner.ts';
import { currentOwner, ownerState, parseOwner } from '../../store/owner.ts';
import { tryLock } from '../../store/store-lock.ts';
import type { ContainerEngine } from '../../tools/container-engine.ts';
import { isMounted, mountPoints, unmountImage } from '../../tools/mount.ts';
import {
  isAbandoned,
  isWorkDirectory,
  lockOf,
  mountPointsOf,
  removeWorkDirectory,
} from '../work-directory.ts';
import { OWNER_LABEL } from './engine-container.ts';

/**
 * Removes what builds on this machine left that were killed before they could: the containers, which hold the
 * mounts, then the mounts, which hold the loop devices, then their directories. Builds that live, and those of
 * other hosts that share a file system, are left alone. `own` is the directory whose lock the caller holds.
 */
export async function reapLeftovers(
  outer: ContainerEngine,
  own: string,
  context: Context,
): Promise<Result<void>> {
  const candidates = new Set([own]);
  // An engine that does not answer holds no containers of ours that could be in the way; what needs it says so.
  const containers = await outer.labelled(OWNER_LABEL, context.signal);
  for (const container of containers.ok ? containers.value : []) {
    const label = parseLabel(container.value);
    if (label === undefined || ownerState(label.owner) !== 'dead') continue;
    const removed = await outer.remove(container.id);
    if (!removed.ok) {
      if (label.directory === own) return removed;
      const what = `remove the container ${container.id.slice(0, 12)}`;
      context.report({ type: 'undo-failed', what, failure: removed.failure });
      continue;
    }
    context.report({ type: 'reaped', what: 'container', name: container.id.slice(0, 12) });
    candidates.add(label.directory);
  }
  for (const mountPoint of await mountPoints())
    candidates.add(dirname(mountPoint)).add(dirname(dirname(mountPoint)));
  for (const name of await readdir(dirname(own))) candidates.add(join(dirname(own), name));
  for (const directory of [...candidates].filter(isWorkDirectory)) {
    const reaped = await reapDirectory(directory, own, context);
    if (reaped.ok) continue;
    // What another build left is in nobody's way; what this output's left is.
    if (directory === own) return reaped;
    context.report({ type: 'undo-failed', what: `remove ${directory}`, failure: reaped.failure });
  }
  return ok();
}

/** Under the directory's lock: whoever holds it builds there, and has reaped it or does so right now. */
async function reapDirectory(
  directory: string,
  own: string,
  context: Context,
): Promise<Result<void>> {
  if (!(await isAbandoned(directory))) return ok();
  const attempt = directory === own ? undefined : await tryLock(lockOf(directory));
  if (attempt !== undefined && !(attempt.ok && 'lock' in attempt.value)) return ok();
  try {
    if (!(await isAbandoned(directory))) return ok();
    const { shared, image } = mountPointsOf(directory);
    for (const mountPoint of [image, shared]) {
      if (!(await isMounted(mountPoint))) continue;
      const unmounted = await unmountImage(mountPoint);
      // Where another mount name space alone still has it, the file can go: nobody writes to it for us any more.
      if (!unmounted.ok && (await isMounted(mountPoint))) return unmounted;
      context.report({ type: 'reaped', what: 'mount', name: mountPoint });
    }
    return await removeWorkDirectory(directory);
  } finally {
    if (attempt?.ok === true && 'lock' in attempt.value) await attempt.value.lock.release();
  }
}

/** The label's value, JSON: whose container it is, readable for every user of the engine. */
export function formatLabel(directory: string): string {
  return JSON.stringify({ owner: currentOwner(), directory });
}

function parseLabel(value: string): { owner: Owner; directory: string } | undefined {
  try {
    const label = JSON.parse(value) as { owner?: unknown; directory?: unknown };
    const owner = parseOwner(JSON.stringify(label.owner));
    if (owner !== undefined && typeof label.directory === 'string')
      return { owner, directory: label.directory };
  } catch {
    // Somebody else's label of that name.
  }
  return undefined;
}
