import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context, Step } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import type { ContainerEngine } from '../../tools/container-engine.ts';
import { mountImage, shareMounts, unmountImage, shareMountsAnew } from '../../tools/mount.ts';
import type { BuildRequest, WorkFiles } from '../loader.ts';
import type { Undo } from '../undo.ts';
import { mountPointsOf } from '../work-directory.ts';
import type { ExpectedEngine } from './check-engine.ts';
import type { MadeContainer } from './engine-container.ts';
import { EngineContainer } from './engine-container.ts';
import { formatLabel } from './reap.ts';

export interface EngineOptions {
  readonly outer: ContainerEngine;
  /** Hands the dind image to the outer engine; returns its ID there. */
  readonly loadImage: () => Promise<Result<string>>;
  readonly privileged: boolean;
  readonly expected: ExpectedEngine;
}

/** What is done with an engine. */
export interface EngineWork {
  /**
   * Puts the data image there. Its container is made and started meanwhile, which takes a quarter of a second; who
   * writes much waits until it is made, and `mayWrite` then: making it else waits for all that was written.
   */
  readonly prepare: (mayWrite: Promise<Result<unknown>>) => Promise<Result<void>>;
  /** `watched` calls it off when the engine hangs. */
  readonly run: (engine: EngineContainer, watched: Context) => Promise<Result<void>>;
}

/**
 * Works with an engine whose data root lies in the image: mounts it, starts the engine, stops it in its own way,
 * unmounts. What is not done when something fails is in `undo`. Returns the engine's version.
 */
export async function inEngine(
  options: EngineOptions,
  request: BuildRequest,
  files: WorkFiles,
  undo: Undo,
  context: Context,
  { prepare, run }: EngineWork,
): Promise<Result<string>> {
  const mountPoints = mountPointsOf(files.directory);
  const step = (name: Step): void => {
    context.report({ type: 'step', step: name });
  };
  await mkdir(mountPoints.image, { recursive: true });
  // The container goes first, then the image: what was added last is taken back first.
  const clear = undo.add('unmount the mount point', () => unmountImage(mountPoints.shared));
  const unmount = undo.add('unmount the data image', () => unmountImage(mountPoints.image));
  const make = async (): Promise<Result<MadeContainer>> => {
    const image = await options.loadImage();
    if (!image.ok) return image;
    const shared = await shareMounts(mountPoints.shared, context.signal);
    if (!shared.ok) return shared;
    const container = {
      image: image.value,
      mountPoints,
      runDirectory: join(files.directory, 'run'),
      dataRoot: request.wanted.partition.dataRoot,
      label: formatLabel(files.directory),
      privileged: options.privileged,
      expected: options.expected,
    };
    return EngineContainer.make(options.outer, container, undo, context);
  };
  const making = make();
  const start = async (): Promise<Result<MadeContainer>> => {
    const made = await making;
    if (!made.ok) return made;
    const started = await made.value.start();
    return started.ok ? made : started;
  };
  const [prepared, started] = await Promise.all([prepare(making), start()]);
  if (!prepared.ok) return prepared;
  if (!started.ok) return started;
  step('mount');
  const mounted = await mountImage(files.image, mountPoints.image, context.signal);
  if (!mounted.ok) return mounted;
  step('start engine');
  const [engine, shared] = await Promise.all([
    started.value.run(),
    shareMountsAnew(mountPoints.shared, context.signal),
  ]);
  if (!engine.ok) return engine;
  if (!shared.ok) return shared;
  const done = await engine.value.whileItAnswers(context, (watched) => run(engine.value, watched));
  if (!done.ok) return done;
  step('stop engine');
  const stopped = await engine.value.stop();
  if (!stopped.ok) return stopped;
  step('unmount');
  const [removed, unmounted] = await Promise.all([engine.value.remove(), unmount()]);
  if (!removed.ok) return removed;
  if (!unmounted.ok) return unmounted;
  const cleared = await clear();
  return cleared.ok ? ok(engine.value.version.version) : cleared;
}
