import type { Context } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { engineProblems, profileOf } from '../../plan/engine-profile.ts';
import type { BuildRequest } from '../loader.ts';
import { warnOfPacked } from '../warn-of-packed.ts';
import { containerdStorage, overlay2Storage } from './engine-storage.ts';
import type { PlannedContent } from './plan-content.ts';
import { planContent } from './plan-content.ts';
import type { DataRoot } from './write-data-root.ts';

/** All that a data root will be, but for the bytes of layers. Fails with `blob-bad` and `pin-contradicted`. */
export async function planDataRoot(request: BuildRequest): Promise<Result<DataRoot>> {
  const { partition, engine } = request.wanted;
  const content = await planContent(request.pins, request.store);
  if (!content.ok) return content;
  const epoch = request.identity?.epoch ?? newestIn(content.value);
  const { dataRoot } = partition;
  const storage =
    engine.store === 'overlay2'
      ? overlay2Storage(content.value, dataRoot)
      : containerdStorage(content.value, {
          ...{ dataRoot, epoch, unpack: engine.unpack, layout: engine.containerd ?? 'daemon' },
          version: profileOf(engine.version)?.containerdSchema ?? 3,
        });
  return ok({ request, content: content.value, storage, epoch });
}

/** Refuses what the device's engine can't do. */
export function checkEngine(
  { wanted, pins, content }: BuildRequest,
  context: Context,
): Result<void> {
  const { engine } = wanted;
  const { version } = engine;
  const profile = profileOf(version);
  const problems =
    profile === undefined
      ? [
          {
            what: 'engine.version',
            detail: 'stowage knows Docker from 20.10 on',
            remedy: 'a newer engine.version',
          },
        ]
      : engineProblems(profile, engine, pins.images);
  if (problems.length > 0) return fail({ reason: 'engine-unable', version, problems });
  if (!engine.unpack) context.report(warnOfPacked(content));
  if (profile?.knowledge === 'unknown')
    context.report({
      type: 'warning',
      about: `Docker ${version} is untested`,
      detail: 'it is newer than this stowage and taken for one like Docker 29',
    });
  return ok();
}

/** Seconds since 1970: when the newest image was made, as its config says. */
function newestIn({ images }: PlannedContent): number {
  const times = images.flatMap(({ created }) => created ?? []);
  return times.reduce((newest, time) => (time <= LATEST ? Math.max(newest, time) : newest), 0);
}

/** What a signed time of 32 bits holds, and so every tool. */
const LATEST = 2 ** 31 - 1;
