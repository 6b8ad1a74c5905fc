import { join } from 'node:path';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import type { EngineStore } from '../../model/bundle.ts';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { Platform } from '../../model/platform.ts';
import { interruption } from '../../model/file-failure.ts';
import type { ContainerEngine, ContainerState } from '../../tools/container-engine.ts';
import type { ApiFailure, EngineApi, EngineVersion } from '../../tools/engine-api.ts';
import { isApi, openEngineApi } from '../../tools/engine-api.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { Undo } from '../undo.ts';
import type { MountPoints } from '../work-directory.ts';
import { engineRights } from './rights.ts';
import type { ExpectedEngine } from './check-engine.ts';
import { confirmEngine } from './check-engine.ts';
import { daemonArguments, daemonFiles, GO, PARTITIONS } from './daemons.ts';
import { watchForSilence } from './watch-for-silence.ts';

/** The label that every container of ours carries; reap.ts says what is in it. */
export const OWNER_LABEL = 'io.stowage.owner';

/** Milliseconds for a daemon that starts in 0.4 s on a quiet machine. */
const START_DEADLINE = 60_000;
const POLL = 20;
/** Milliseconds after which a daemon that says nothing, not even to a ping, hangs. */
const SILENCE = 60_000;
/** Seconds for the daemon to end by itself: a killed one leaves its databases as they are. */
const STOP_SECONDS = 120;
const LOG_LINES = 15;
/** What a container's exit code is after SIGKILL. */
const KILLED = 137;
/**
 * A directory that mke2fs makes, and so not there for an engine that sees the mount point and not the mount, as one
 * outside of our container does: it refuses to start rather than write beside the image.
 */
const WITNESS = 'lost+found';

export interface EngineContainerOptions {
  /** The image's ID in the outer engine. */
  readonly image: string;
  /** Where the data image will be mounted. */
  readonly mountPoints: MountPoints;
  /** A directory of ours for the socket and the daemon's configuration. */
  readonly runDirectory: string;
  /** Relative to the mount point. */
  readonly dataRoot: string;
  /** What it is to keep images in, and what it should turn out to be. */
  readonly expected: ExpectedEngine;
  readonly label: string;
  /** Gives the container every right, for hosts whose engine allows no less. */
  readonly privileged: boolean;
}

/** A container in which nothing runs yet. */
export interface MadeContainer {
  /** Starts it, and no daemon in it. */
  readonly start: () => Promise<Result<void>>;
  /** Starts the daemon in it, once the image is mounted, and waits until that answers. */
  readonly run: () => Promise<Result<EngineContainer>>;
}

/** A dockerd in a container whose data root is the mounted partition. */
export class EngineContainer {
  readonly api: EngineApi;
  readonly version: EngineVersion;
  readonly store: EngineStore;
  /** False where it keeps images packed. */
  readonly unpacks: boolean;
  readonly #outer: ContainerEngine;
  readonly #id: string;
  readonly #forget: () => Promise<Result<void>>;

  private constructor(
    outer: ContainerEngine,
    id: string,
    api: EngineApi,
    version: EngineVersion,
    { store, unpack }: ExpectedEngine,
    forget: () => Promise<Result<void>>,
  ) {
    this.#outer = outer;
    this.#id = id;
    this.api = api;
    this.version = version;
    this.store = store;
    this.unpacks = unpack;
    this.#forget = forget;
  }

  /**
   * Makes the container, which must be started by who gets it; the image need not be mounted for either. Its removal
   * is added to `undo`.
   */
  static async make(
    outer: ContainerEngine,
    options: EngineContainerOptions,
    undo: Undo,
    context: Context,
  ): Promise<Result<MadeContainer>> {
    await mkdir(options.runDirectory);
    const { dataRoot, expected, runDirectory } = options;
    for (const [file, text] of Object.entries(daemonFiles({ dataRoot, ...expected })))
      await writeFile(join(runDirectory, file), text);
    // By name, so that it can be taken back even when we are interrupted before we hear its ID.
    const name = `stowage-${process.pid}-${Date.now().toString(36)}`;
    const forget = undo.add('remove the container', () => outer.remove(name));
    const rights = engineRights(options.privileged);
    const made = await outer.create(runArguments(name, options), rights);
    if (!made.ok) return made;
    const run = async (): Promise<Result<EngineContainer>> => {
      const witness = join(options.mountPoints.image, WITNESS);
      const go = join(runDirectory, GO);
      await writeFile(`${go}.new`, (await exists(witness)) ? WITNESS : '');
      await rename(`${go}.new`, go);
      const api = await openEngineApi(join(runDirectory, 'docker.sock'));
      undo.add('close the socket', async () => {
        await api.close();
        return ok();
      });
      const answers = await untilItAnswers(outer, name, api, context);
      if (!answers.ok) return answers;
      const version = await api.version();
      if (!version.ok) return fail(await died(outer, name, 'starting', version.failure.detail));
      const confirmed = await confirmEngine(api, version.value.version, expected);
      if (confirmed.ok)
        return ok(new EngineContainer(outer, name, api, version.value, expected, forget));
      return confirmed.failure.reason === 'api-failed'
        ? fail(await died(outer, name, 'starting', confirmed.failure.detail))
        : fail(confirmed.failure);
    };
    return ok({ start: () => outer.start(name), run });
  }

  /**
   * Streams an archive of one image into the engine, which unpacks it for whatever platform it is, if this one can:
   * containerd's store unpacks a foreign one only when it is named, which API 1.48 can; check-images.ts sees to the
   * rest. overlay2 knows no platforms there.
   */
  load(
    archive: Readable,
    platform: Platform | undefined,
    signal?: AbortSignal,
  ): Promise<Result<readonly string[], ApiFailure>> {
    const named = this.store === 'containerd' && this.unpacks && isApi(this.version, 1, 48);
    return this.api.load(archive, signal, named ? platform : undefined);
  }

  /** Why a call failed: the daemon's end with its last words where it has ended, else undefined. */
  async death(doing: string): Promise<Failure | undefined> {
    // A daemon that is just dying has closed its socket before the outer engine knows.
    for (let poll = 0; poll < 10; poll++) {
      const state = await this.#outer.state(this.#id);
      if (!state.ok) return state.failure;
      if (state.value?.running !== true)
        return died(this.#outer, this.#id, doing, describeEnd(state.value));
      if (await this.api.ping()) return undefined;
      await sleep(200);
    }
    return died(this.#outer, this.#id, doing, 'it does not answer');
  }

  /**
   * Does `work` for as long as the daemon answers. One that hangs (a paused container, a disk that does not come
   * back) is waited for no longer than `SILENCE`: the work is called off, and the failure says why.
   */
  async whileItAnswers<T>(
    context: Context,
    work: (context: Context) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    const silent = new AbortController();
    const watch = watchForSilence(this.api, SILENCE, silent);
    try {
      const signal = AbortSignal.any([context.signal, silent.signal]);
      const done = await work({ ...context, signal });
      if (done.ok || !silent.signal.aborted || context.signal.aborted) return done;
      const detail = `it has not answered for ${SILENCE / 1000} s`;
      return fail(await died(this.#outer, this.#id, 'loading images', detail));
    } finally {
      await watch.end();
    }
  }

  lastLog(): Promise<readonly string[]> {
    return this.#outer.lastLog(this.#id, LOG_LINES);
  }

  /**
   * Stops the daemon in its own way. Nothing of it has the partition afterwards; whether it ended well, `remove` tells.
   */
  stop(): Promise<Result<void>> {
    return this.#outer.stop(this.#id, STOP_SECONDS);
  }

  /** Makes sure that the daemon stopped as it should, and removes the container. */
  async remove(): Promise<Result<void>> {
    const state = await this.#outer.state(this.#id);
    if (!state.ok) return state;
    if (state.value === undefined || state.value.running || state.value.exitCode !== 0)
      return fail(
        await died(
          this.#outer,
          this.#id,
          'stopping',
          `it did not stop cleanly: ${describeEnd(state.value)}`,
        ),
      );
    return this.#forget();
  }
}

async function untilItAnswers(
  outer: ContainerEngine,
  name: string,
  api: EngineApi,
  { signal }: Context,
): Promise<Result<void>> {
  const deadline = Date.now() + START_DEADLINE;
  for (let poll = 0; !(await api.ping(signal)); poll++) {
    if (signal.aborted) return fail(interruption(signal));
    // Asking the outer engine takes longer than the daemon does to start: now and then is enough.
    const state = poll % 25 === 24 ? await outer.state(name) : undefined;
    if (state?.ok === true && state.value?.running !== true)
      return fail(await died(outer, name, 'starting', describeEnd(state.value)));
    if (Date.now() > deadline)
      return fail(
        await died(outer, name, 'starting', `no answer within ${START_DEADLINE / 1000} s`),
      );
    await sleep(POLL);
  }
  return ok();
}

/** It sees two directories, and no store and no device. */
function runArguments(name: string, options: EngineContainerOptions): string[] {
  return [
    `--name=${name}`,
    `--label=${OWNER_LABEL}=${options.label}`,
    `${bind(options.mountPoints.shared, PARTITIONS)},bind-propagation=rslave`,
    bind(options.runDirectory, '/stowage/run'),
    // Instead of the anonymous volume that the official image declares here; and for the daemons' own files.
    '--tmpfs=/var/lib/docker',
    '--tmpfs=/run',
    '--tmpfs=/tmp',
    // Docker before 23 writes a key of its own there.
    '--tmpfs=/etc/docker',
    // On two cores unpacking in the daemon beats a second process for each layer.
    '--env=CONTAINERD_DISABLE_PIGZ=1',
    // Collecting Go's garbage less often saves an eighth of the processor time, and costs some ten megabytes.
    '--env=GOGC=400',
    '--entrypoint=/bin/sh',
    options.image,
    ...daemonArguments(process.getgid?.() ?? 0),
  ];
}

/** `--mount` takes CSV: unlike `--volume` it has a way to say any path. */
function bind(source: string, target: string): string {
  const field = `source=${source}`;
  const quoted = /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
  return `--mount=type=bind,${quoted},target=${target}`;
}

function describeEnd(state: ContainerState | undefined): string {
  if (state === undefined) return 'somebody removed its container';
  if (state.exitCode === KILLED)
    return `it was killed, by somebody or for want of memory (exit code ${KILLED})`;
  return `it ended with exit code ${state.exitCode}`;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function died(
  outer: ContainerEngine,
  id: string,
  doing: string,
  detail: string,
): Promise<Failure> {
  const log = await outer.lastLog(id, LOG_LINES);
  if (log.some((line) => /no space left on device/i.test(line)))
    return { reason: 'no-space', where: DATA_IMAGE };
  return { reason: 'engine-died', doing, detail, log };
}
