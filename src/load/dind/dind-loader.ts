import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context, Step } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import type { ImageChanges } from '../../plan/changes.ts';
import { ContainerEngine } from '../../tools/container-engine.ts';
import type { EngineChoice } from '../../tools/find-engine.ts';
import type { NewFileSystem } from '../../tools/e2fsprogs.ts';
import { makeFileSystem } from '../../tools/e2fsprogs.ts';
import type { BuildRequest, Filled, Loader, WorkFiles } from '../loader.ts';
import { finishFileSystem } from '../finish.ts';
import { collectGarbage } from '../small-heap.ts';
import { fillSized } from '../sized-fill.ts';
import { Undo } from '../undo.ts';
import { loadDindImage } from './dind-image.ts';
import type { ExpectedEngine } from './check-engine.ts';
import { checkEngine } from './check-engine.ts';
import { changeImages } from './change-images.ts';
import { checkImages } from './check-images.ts';
import type { EngineOptions } from './in-engine.ts';
import { inEngine } from './in-engine.ts';
import { loadImages } from './load-images.ts';
import { reapLeftovers } from './reap.ts';
import { scrub } from './scrub.ts';
import { whileWritingBack } from './write-back.ts';

export interface DindOptions {
  /** Which engine of the builder runs the dind image. */
  readonly engine: EngineChoice;
  readonly privileged: boolean;
  /** The builder's own platform, as `formatPlatform` prints it: which dind image is run. */
  readonly builderPlatform: string;
}

/**
 * Fills the data root with the real engine: dockerd in a container, its data root on the loop-mounted image.
 * Needs root for `mount` and `umount` alone.
 */
export class DindLoader implements Loader {
  readonly name = 'dind';
  readonly #options: DindOptions;
  readonly #outer: ContainerEngine;

  constructor(options: DindOptions) {
    this.#options = options;
    this.#outer = new ContainerEngine(options.engine);
  }

  async check(request: BuildRequest, context: Context): Promise<Result<void>> {
    const expected = await checkEngine(request, this.#options.builderPlatform, context);
    return expected.ok ? ok() : expected;
  }

  async reap(directory: string, context: Context): Promise<Result<void>> {
    const outer = await this.#outer.found(context.signal);
    if (outer.ok) {
      const { command, version } = outer.value;
      context.report({ type: 'engine-found', command, version });
    }
    return reapLeftovers(this.#outer, directory, context);
  }

  async fill(request: BuildRequest, work: WorkFiles, context: Context): Promise<Result<Filled>> {
    const expected = await checkEngine(request, this.#options.builderPlatform, context);
    if (!expected.ok) return expected;
    const outer = await this.#outer.found(context.signal);
    if (!outer.ok) return outer;
    return fillSized(
      request,
      work,
      (fileSystem, watched) => this.#fillOnce(request, work, fileSystem, expected.value, watched),
      context,
    );
  }

  async change(
    request: BuildRequest,
    changes: ImageChanges,
    work: WorkFiles,
    prepare: (mayWrite: Promise<Result<unknown>>) => Promise<Result<void>>,
    context: Context,
  ): Promise<Result<void>> {
    const expected = await checkEngine(request, this.#options.builderPlatform, context);
    if (!expected.ok) return expected;
    const undo = new Undo(context.report);
    try {
      const options = this.#engineOptions(request, expected.value, context);
      const changed = await inEngine(options, request, work, undo, context, {
        prepare,
        run: async (engine, watched) => {
          context.report({ type: 'step', step: 'change images' });
          return whileWritingBack(work, watched, async (within) => {
            const done = await changeImages(changes, request.store, engine, within);
            if (!done.ok) return done;
            context.report({ type: 'step', step: 'check images' });
            return checkImages(request.pins.images, request.store, engine, within);
          });
        },
      });
      if (!changed.ok) return changed;
    } finally {
      await undo.run();
    }
    context.report({ type: 'step', step: 'scrub' });
    return scrub(
      work.image,
      request.wanted.partition.dataRoot,
      request.wanted.engine.store,
      context,
    );
  }

  async #fillOnce(
    request: BuildRequest,
    work: WorkFiles,
    fileSystem: NewFileSystem,
    expected: ExpectedEngine,
    context: Context,
  ): Promise<Result<Filled>> {
    const undo = new Undo(context.report);
    try {
      // Of the attempt before, which was too small.
      for (const path of [work.image, join(work.directory, 'run')])
        await rm(path, { recursive: true, force: true });
      return await this.#fillWith(undo, request, work, fileSystem, expected, context);
    } finally {
      await undo.run();
    }
  }

  async #fillWith(
    undo: Undo,
    request: BuildRequest,
    work: WorkFiles,
    fileSystem: NewFileSystem,
    expected: ExpectedEngine,
    context: Context,
  ): Promise<Result<Filled>> {
    const { partition } = request.wanted;
    const step = (name: Step): void => {
      context.report({ type: 'step', step: name });
    };

    const { images } = request.pins;
    const options = this.#engineOptions(request, expected, context);
    const version = await inEngine(options, request, work, undo, context, {
      prepare: () => {
        step('make file system');
        return makeFileSystem(work.image, fileSystem, context.signal);
      },
      run: async (engine, watched) => {
        step('load images');
        const checked = await whileWritingBack(work, watched, async (within) => {
          const loaded = await loadImages(images, request.store, engine, within);
          if (!loaded.ok) return loaded;
          step('check images');
          return checkImages(images, request.store, engine, within);
        });
        // Of streaming the images; what proves the result has threads of its own.
        collectGarbage();
        return checked;
      },
    });
    if (!version.ok) return version;

    step('scrub');
    const scrubbed = await scrub(work.image, partition.dataRoot, expected.store, context);
    if (!scrubbed.ok) return scrubbed;
    const finished = await finishFileSystem(request, work, context);
    if (!finished.ok) return finished;
    return ok({ tools: { dockerd: version.value } });
  }

  #engineOptions(request: BuildRequest, expected: ExpectedEngine, context: Context): EngineOptions {
    const { privileged, builderPlatform } = this.#options;
    return {
      ...{ outer: this.#outer, privileged, expected },
      loadImage: () => loadDindImage(this.#outer, request, builderPlatform, context),
    };
  }
}
