import type { Context } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { Failure } from '../../model/failure.ts';
import { createImage } from '../../ext4/create-image.ts';
import type { ContainerdLayout } from '../../data-root/containerd-store.ts';
import { engineProblems, profileOf } from '../../plan/engine-profile.ts';
import { identityOf } from '../../plan/identity.ts';
import { contentFor, fittingSize } from '../../plan/size.ts';
import type { BuildRequest, Filled, Loader, WorkFiles } from '../loader.ts';
import { DATA_IMAGE } from '../loader.ts';
import { containerdStorage, overlay2Storage } from './engine-storage.ts';
import { imageOptions } from './image-options.ts';
import type { PlannedContent } from './plan-content.ts';
import { planContent } from './plan-content.ts';
import { writeDataRoot } from './write-data-root.ts';

export interface DirectOptions {
  /** Whose containerd the device has: one that dockerd starts itself, or one of its own. Default `daemon`. */
  readonly layout?: ContainerdLayout;
}

/**
 * Writes what the engine would have written, straight into a new ext4 image: no daemon, no root, no mount, no other
 * program. The same request makes the same bytes, whoever runs it, where and when.
 */
export class DirectLoader implements Loader {
  readonly name = 'direct';
  /** Building anew takes it hardly longer than copying what is there. */
  readonly updates = false as const;
  readonly #options: DirectOptions;

  constructor(options: DirectOptions = {}) {
    this.#options = options;
  }

  check(request: BuildRequest, context: Context): Promise<Result<void>> {
    return Promise.resolve(checkEngine(request, context));
  }

  /** It leaves nothing behind but its work directory, which is the caller's. */
  reap(): Promise<Result<void>> {
    return Promise.resolve(ok());
  }

  async fill(request: BuildRequest, work: WorkFiles, context: Context): Promise<Result<Filled>> {
    const able = checkEngine(request, context);
    if (!able.ok) return able;
    const { partition, engine } = request.wanted;
    const content = await planContent(request.pins, request.store);
    if (!content.ok) return content;
    const epoch = request.identity?.epoch ?? newestIn(content.value);
    const { uuid, hashSeed } = identityOf(partition, request.pins, epoch);
    if (uuid === undefined || hashSeed === undefined)
      throw new Error('an identity that is derived is whole');
    const options = imageOptions(partition, { uuid, hashSeed, epoch });
    if (!options.ok) return options;
    context.report({ type: 'step', step: 'write data image' });
    const storage =
      engine.store === 'overlay2'
        ? overlay2Storage(content.value, partition.dataRoot)
        : containerdStorage(content.value, {
            ...{ dataRoot: partition.dataRoot, epoch, unpack: engine.unpack },
            layout: this.#options.layout ?? 'daemon',
            version: profileOf(engine.version)?.containerdSchema ?? 3,
          });
    const root = { request, content: content.value, storage, epoch };
    const written = await writeDataRoot(
      root,
      () => createImage(work.image, options.value),
      context,
    );
    if (written.ok) return ok({ tools: {} });
    return fail(inDataImage(written.failure, request, work));
  }

  /** Never asked for: it does not update. */
  change(): never {
    throw new Error('direct does not update data images');
  }
}

function checkEngine({ wanted, pins }: BuildRequest, context: Context): Result<void> {
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

/** A given size that does not do is told with one that will. */
function inDataImage(failure: Failure, request: BuildRequest, { image }: WorkFiles): Failure {
  const { size, features } = request.wanted.partition;
  if (failure.reason !== 'no-space' || failure.where !== image || size === 'auto') return failure;
  if (failure.available !== size.bytes) return failure;
  const content = contentFor(request.wanted.engine, request.content);
  const fits = Math.max(
    fittingSize(content, { features }),
    Math.ceil((failure.needed ?? size.bytes + 1) / MIB) * MIB,
  );
  return { reason: 'no-space', where: DATA_IMAGE, needed: fits, available: size.bytes, fits };
}

const MIB = 1024 * 1024;
