import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context, Step } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import type { ContainerEngine } from '../../tools/container-engine.ts';
import { mountImage, unmountImage } from '../../tools/mount.ts';
import type { BuildRequest, WorkFiles } from '../loader.ts';
import type { Undo } from '../undo.ts';
import { mountPointOf } from '../work-directory.ts';
import type { ExpectedEngine } from './check-engine.ts';
import { EngineContainer } from './engine-container.ts';
import { formatLabel } from './reap.ts';

export interface EngineOptions {
  readonly outer: ContainerEngine;
  /** The dind image's ID in the outer engine. */
  readonly image: string;
  readonly privileged: boolean;
  readonly expected: ExpectedEngine;
}

/**
 * Does `work` with an engine whose data root lies in the image: mounts it, starts the engine, stops it in its own way,
 * unmounts. `watched` calls `work` off when the engine hangs. What is not done when something fails is in `undo`.
 * Returns the engine's version.
 */
export async function inEngine(
  options: EngineOptions,
  request: BuildRequest,
  files: WorkFiles,
  undo: Undo,
  context: Context,
  work: (engine: EngineContainer, watched: Context) => Promise<Result<void>>,
): Promise<Result<string>> {
  const mountPoint = mountPointOf(files.directory);
  const step = (name: Step): void => {
    context.report({ type: 'step', step: name });
  };
  step('mount');
  await mkdir(mountPoint, { recursive: true });
  const unmount = undo.add('unmount the data image', () => unmountImage(mountPoint));
  const mounted = await mountImage(files.image, mountPoint, context.signal);
  if (!mounted.ok) return mounted;
  step('start engine');
  const engine = await EngineContainer.start(
    options.outer,
    {
      image: options.image,
      mountPoint,
      runDirectory: join(files.directory, 'run'),
      dataRoot: request.wanted.partition.dataRoot,
      label: formatLabel(files.directory),
      privileged: options.privileged,
      expected: options.expected,
    },
    undo,
    context,
  );
  if (!engine.ok) return engine;
  const done = await engine.value.whileItAnswers(context, (watched) => work(engine.value, watched));
  if (!done.ok) return done;
  step('stop engine');
  const stopped = await engine.value.stop();
  if (!stopped.ok) return stopped;
  step('unmount');
  const [removed, unmounted] = await Promise.all([engine.value.remove(), unmount()]);
  if (!removed.ok) return removed;
  return unmounted.ok ? ok(engine.value.version.version) : unmounted;
}
