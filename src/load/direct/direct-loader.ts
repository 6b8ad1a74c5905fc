import { rm, stat } from 'node:fs/promises';
import { createImage } from '../../ext4/create-image.ts';
import type { ImageOptions } from '../../ext4/image-writer.ts';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { journalSize } from '../../plan/ext4-geometry.ts';
import { identityOf } from '../../plan/identity.ts';
import { contentFor, fittingSize, likelySize } from '../../plan/size.ts';
import type { BuildRequest, Filled, Loader, WorkFiles } from '../loader.ts';
import { DATA_IMAGE } from '../loader.ts';
import { imageOptions } from './image-options.ts';
import { checkEngine, planDataRoot } from './plan-data-root.ts';
import type { DataRoot } from './write-data-root.ts';
import { writeDataRoot } from './write-data-root.ts';

/**
 * Writes what the engine would have written, straight into a new ext4 image: no daemon, no root, no mount, no other
 * program. The same request makes the same bytes, whoever runs it, where and when.
 */
export class DirectLoader implements Loader {
  readonly name = 'direct';
  /** Building anew takes it hardly longer than copying what is there. */
  readonly updates = false as const;
  check(request: BuildRequest, context: Context): Promise<Result<void>> {
    const able = checkEngine(request, context);
    if (!able.ok) return Promise.resolve(able);
    const options = fileSystemOf(request, 0);
    return Promise.resolve(options.ok ? ok() : options);
  }

  /** It leaves nothing behind but its work directory, which is the caller's. */
  reap(): Promise<Result<void>> {
    return Promise.resolve(ok());
  }

  async fill(request: BuildRequest, work: WorkFiles, context: Context): Promise<Result<Filled>> {
    const able = checkEngine(request, context);
    if (!able.ok) return able;
    const root = await planDataRoot(request);
    if (!root.ok) return root;
    const options = fileSystemOf(request, root.value.epoch);
    if (!options.ok) return options;
    context.report({ type: 'step', step: 'write data image' });
    // The build has it written to disk while it is proved.
    const open = () => createImage(work.image, { ...options.value, sync: false });
    const written = await writeDataRoot(root.value, open, context);
    if (written.ok) return ok({ tools: {} });
    return fail(await inDataImage(written.failure, root.value, options.value, work, context));
  }

  /** Never asked for: it does not update. */
  change(): never {
    throw new Error('direct does not update data images');
  }
}

function fileSystemOf(
  { wanted, pins, content }: BuildRequest,
  epoch: number,
): Result<ImageOptions> {
  const { uuid, hashSeed } = identityOf(wanted.partition, pins, epoch);
  if (uuid === undefined || hashSeed === undefined)
    throw new Error('an identity that is derived is whole');
  const likely = likelySize(contentFor(wanted.engine, content));
  return imageOptions(wanted.partition, likely, { uuid, hashSeed, epoch });
}

/** A given size that does not do is told with one that will: all of it is written once more, without a limit. */
async function inDataImage(
  failure: Failure,
  root: DataRoot,
  options: ImageOptions,
  { image }: WorkFiles,
  context: Context,
): Promise<Failure> {
  const { request } = root;
  const { size, features } = request.wanted.partition;
  if (failure.reason !== 'no-space' || failure.where !== image || size === 'auto') return failure;
  if (failure.available !== size.bytes) return failure;
  let needed = failure.needed;
  if (needed === undefined) {
    const whole = { ...options, size: 'auto', headroom: { bytes: 0 }, sync: false } as const;
    const quiet = { ...context, report: () => undefined };
    const measured = await writeDataRoot(root, () => createImage(image, whole), quiet);
    if (!measured.ok && measured.failure.reason === 'interrupted') return measured.failure;
    if (measured.ok) needed = (await stat(image)).size;
    await rm(image, { force: true });
  }
  const content = contentFor(request.wanted.engine, request.content);
  const fits =
    needed === undefined
      ? fittingSize(content, { features })
      : withJournal(needed - journalSize(size.bytes, features), features);
  const larger = Math.max(fits, Math.ceil((size.bytes + 1) / MIB) * MIB);
  return {
    ...{ reason: 'no-space', where: DATA_IMAGE, needed: larger },
    ...{ available: size.bytes, fits: larger },
  };
}

const MIB = 1024 * 1024;

/** Whole MiB that have room for the journal of such a size, too. */
function withJournal(bytes: number, features: readonly string[] | undefined): number {
  let fits = bytes;
  for (let before = 0; before < fits;)
    [before, fits] = [fits, Math.ceil((bytes + journalSize(fits, features)) / MIB) * MIB];
  return fits;
}
