import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BuildPlan } from '../model/build-plan.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { fingerprintOf } from '../plan/fingerprint.ts';
import {
  canPublishFrom,
  lockFinished,
  noteFinishedUse,
  dropOldFinished,
  publishFinished,
  removeFinished,
} from '../store/finished.ts';
import type { Lock } from '../store/store-lock.ts';
import { acquireLock } from '../store/store-lock.ts';
import { copyImage } from '../tools/copy-image.ts';
import { usersOf } from '../tools/loop-devices.ts';
import { checkDocuments } from './check-documents.ts';
import { checkDirectory, checkSpace, checkStore } from './check-inputs.ts';
import { formatDataDocument } from './data-document.ts';
import type { Decision, ReuseOptions } from './decide.ts';
import { decide, decideByLast, planOf } from './decide.ts';
import { explain } from './explain.ts';
import { isStill } from './last-result.ts';
import type { BuildRequest, Filled, Loader, WorkFiles } from './loader.ts';
import { DATA_IMAGE } from './loader.ts';
import { placeDocument, placeResult, syncFile } from './place-result.ts';
import { updateImage } from './update.ts';
import {
  lockOf,
  makeWorkDirectory,
  removeWorkDirectory,
  workDirectoryOf,
} from './work-directory.ts';

export interface BuildOptions extends ReuseOptions {
  /** Checks all that can be checked, and changes nothing. */
  readonly dryRun: boolean;
  /** The dind image's platform, where the loader runs one. */
  readonly dindPlatform?: string;
  /** Proves the finished image before it gets its name: the verifier, which loaders know nothing of. */
  readonly prove: (image: string) => Promise<Result<void>>;
}

export interface Built {
  readonly plan: BuildPlan;
  /** Bytes; absent after a dry run. */
  readonly size?: number;
}

/**
 * Store and pins to data image, with no network. What an earlier build left is used where it is certain to lead to
 * what a build from scratch makes: docs/incremental.md. One build at a time writes an output: a second one waits.
 * The output is replaced by renames after everything was proved; until then it is as it was.
 */
export async function build(
  request: BuildRequest,
  options: BuildOptions,
  loader: Loader,
  context: Context,
): Promise<Result<Built>> {
  const { output } = options;
  const directory = dirname(output);
  const checked = await checkDirectory(directory, output);
  if (!checked.ok) return checked;
  const fingerprint = fingerprintOf(options.settings, request.pins);
  const users = await usersOf(output);
  if (users.length > 0) return fail({ reason: 'output-in-use', output, by: users });
  // With no lock: both files are tied to each other by their times.
  const reuse = { ...options, updates: loader.updates };
  const first = await decide(request, fingerprint, reuse);
  if (first.how === 'nothing') return ok({ plan: planOf(first), size: sizeOf(first) });
  if (options.dryRun) {
    const ready = await checkInputs(request, options, first, context);
    if (!ready.ok) return ready;
    const able = await loader.check(request, context);
    return able.ok ? ok({ plan: planOf(first) }) : able;
  }
  const work = workDirectoryOf(output);
  const lock = await acquireLock(lockOf(work), context, { what: output });
  if (!lock.ok) return lock;
  let shared: Lock | undefined;
  try {
    const publish = options.share && (await canPublishFrom(request.store, directory));
    // Nobody waits for what he does not want to take.
    if (publish && !options.fromScratch) {
      const what = `the same data image, for ${output}`;
      const held = await lockFinished(request.store, fingerprint, what, context);
      if (!held.ok) return held;
      shared = held.value;
    }
    // Whoever held a lock may have made what is wanted.
    const decision = await decide(request, fingerprint, reuse);
    context.report({ type: 'build-planned', output, plan: planOf(decision) });
    if (decision.how === 'nothing') return ok({ plan: planOf(decision), size: sizeOf(decision) });
    if (decision.how === 'document') {
      const { last, text } = decision;
      const placed = await placeDocument(output, last.image, text);
      return placed.ok ? ok({ plan: planOf(decision), size: last.document.size }) : placed;
    }
    const reaped = loader.reap(work, context);
    let dropping: Promise<void> | undefined;
    const dropOld = (): void => {
      if (!publish) return;
      dropping ??= dropOldFinished(request.store);
      // A bug in it is heard of below.
      dropping.catch(() => undefined);
    };
    const run = {
      request,
      options,
      loader,
      context,
      fingerprint,
      lock: lock.value,
      reaped,
      dropOld,
    };
    const building = buildLocked(run, decision, publish, work);
    // The locks are for both: neither is left to itself when the other ends in a bug.
    const [built, leftovers] = await Promise.allSettled([building, reaped]);
    if (built.status === 'rejected') throw built.reason;
    if (leftovers.status === 'rejected') throw leftovers.reason;
    await dropping;
    if (built.value.ok && !leftovers.value.ok)
      context.report({
        type: 'undo-failed',
        what: 'remove what a killed build left',
        failure: leftovers.value.failure,
      });
    return built.value;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return fail(fileFailure(error, output, 'writing the data image'));
  } finally {
    await shared?.release();
    await lock.value.release();
  }
}

interface Run {
  readonly request: BuildRequest;
  readonly options: BuildOptions;
  readonly loader: Loader;
  readonly context: Context;
  readonly fingerprint: Digest;
  readonly lock: Lock;
  /** To be waited for by who starts an engine, or finds something where he wants to work. */
  readonly reaped: Promise<Result<void>>;
  /** Makes room in the store, as far as that is anybody's to do, for what is built: while the disk has little to do. */
  readonly dropOld: () => void;
}

async function checkInputs(
  request: BuildRequest,
  options: BuildOptions,
  decision: Decision,
  context: Context,
): Promise<Result<void>> {
  if (decision.how !== 'scratch' && decision.how !== 'update') return ok();
  context.report({ type: 'step', step: 'check store' });
  const { store, pins } = request;
  if (decision.how === 'update') {
    const { images, files } = decision.changes;
    const written = files.write.flatMap((path) => {
      const pin = pins.files[path];
      return pin === undefined ? [] : [[path, pin] as const];
    });
    const part = { ...pins, images: images.load, files: Object.fromEntries(written) };
    const complete = await checkStore(store, part, options.dindPlatform);
    return complete.ok ? checkDocuments(store, part) : complete;
  }
  const complete = await checkStore(store, pins, options.dindPlatform);
  if (!complete.ok) return complete;
  const consistent = await checkDocuments(store, pins);
  return consistent.ok ? checkSpace(request, dirname(options.output)) : consistent;
}

async function buildLocked(
  run: Run,
  decision: Exclude<Decision, { how: 'nothing' | 'document' }>,
  publish: boolean,
  directory: string,
): Promise<Result<Built>> {
  const { request, options, context } = run;
  // Left by a killed build, and perhaps still mounted.
  if (existsSync(directory)) {
    const reaped = await run.reaped;
    if (!reaped.ok) return reaped;
  }
  const work = await makeWorkDirectory(options.output);
  if (!work.ok) return work;
  try {
    const made = await makeResult(run, decision, work.value);
    if (!made.ok) return await explain(made, request, work.value.directory);
    if (context.signal.aborted) return fail(interruption(context.signal));
    const { filled, decision: taken } = made.value;
    const { settings, output } = options;
    const { tools } = filled;
    const { pins, store } = request;
    const size = await placeResult(
      work.value,
      output,
      run.lock,
      (bytes) => formatDataDocument({ file: output, size: bytes, settings, pins, tools }),
      async () => {
        if (!publish || taken.how === 'copy') return;
        const target = targetKey(pins.target);
        const images = Object.keys(pins.images).length;
        await publishFinished(store, run.fingerprint, output, { target, images, tools });
      },
    );
    return size.ok ? ok({ plan: planOf(taken), size: size.value }) : size;
  } finally {
    const removed = await removeWorkDirectory(work.value.directory);
    if (!removed.ok)
      context.report({
        type: 'undo-failed',
        what: 'remove the work directory',
        failure: removed.failure,
      });
  }
}

interface Made {
  readonly filled: Filled;
  /** The one that led to it. */
  readonly decision: Decision;
}

/** A proved image at `work.image`. Where a shorter way fails of itself, the next longer one is taken. */
async function makeResult(
  run: Run,
  decision: Exclude<Decision, { how: 'nothing' | 'document' }>,
  work: WorkFiles,
): Promise<Result<Made>> {
  const { request, options, context } = run;
  if (decision.how !== 'copy') {
    const ready = await checkInputs(request, options, decision, context);
    if (!ready.ok) return ready;
  }
  const filled = await takeWay(run, decision, work);
  const proved = filled.ok ? await prove(run, work) : filled;
  if (filled.ok && proved.ok) return ok({ filled: filled.value, decision });
  const failure = proved.ok ? undefined : proved.failure;
  if (failure === undefined || decision.how === 'scratch' || !isOfThisWay(failure, work))
    return fail(failure ?? interruption(context.signal));
  for (const left of [work.image, join(work.directory, 'run')])
    await rm(left, { recursive: true, force: true });
  let next: Decision = { how: 'scratch', why: { what: 'failed', failure } };
  if (decision.how === 'copy') {
    await removeFinished(request.store, run.fingerprint);
    const own = await decideByLast(request, { ...options, updates: run.loader.updates });
    if (own.how === 'update' || own.how === 'scratch') next = own;
  }
  context.report({
    type: 'build-planned',
    output: options.output,
    plan: planOf(next),
  });
  return makeResult(run, next, work);
}

async function takeWay(
  run: Run,
  decision: Exclude<Decision, { how: 'nothing' | 'document' }>,
  work: WorkFiles,
): Promise<Result<Filled>> {
  const { request, loader, context } = run;
  switch (decision.how) {
    case 'copy': {
      const { finished } = decision;
      context.report({ type: 'step', step: 'copy' });
      await noteFinishedUse(request.store, finished);
      const copied = await copyImage(finished.path, work.image, context.signal);
      if (!copied.ok) return copied;
      const synced = await copied.value.synced;
      if (!synced.ok) return synced;
      if (await isStill(finished.path, finished.found)) return ok({ tools: finished.record.tools });
      return fail(changedMeanwhile(finished.path));
    }
    case 'update': {
      const { last, changes } = decision;
      const { output } = run.options;
      const update = { original: output, changes, ready: run.reaped, onCopied: run.dropOld };
      const updated = await updateImage(request, work, update, loader, context);
      if (!updated.ok) return updated;
      if (await isStill(output, last.image)) return ok({ tools: last.document.tools });
      return fail(changedMeanwhile(output));
    }
    case 'scratch': {
      const reaped = await run.reaped;
      if (!reaped.ok) return reaped;
      run.dropOld();
      return loader.fill(request, work, context);
    }
  }
}

async function prove({ options, context }: Run, work: WorkFiles): Promise<Result<void>> {
  context.report({ type: 'step', step: 'verify' });
  // Reading and writing at the same time; what placing it waits for has been written by then.
  const [proved, synced] = await Promise.all([options.prove(work.image), syncWhole(work.image)]);
  return proved.ok ? synced : proved;
}

/** What the disk could not write is told once: who syncs the same file again hears nothing of it. */
async function syncWhole(image: string): Promise<Result<void>> {
  try {
    await syncFile(image);
    return ok();
  } catch (error) {
    return fail(fileFailure(error, image, 'writing the data image'));
  }
}

function changedMeanwhile(image: string): Failure {
  return { reason: 'not-verified', image, findings: ['somebody wrote to it while it was copied'] };
}

/** What another way may well get round; nobody's wish, no lack of the machine, and not the end of the engine. */
const OF_ONE_WAY: ReadonlySet<Failure['reason']> = new Set([
  'not-verified',
  'load-incomplete',
  'tool-failed',
  'invalid-document',
] as const);

function isOfThisWay(failure: Failure, work: WorkFiles): boolean {
  if (failure.reason === 'no-space')
    return failure.where === DATA_IMAGE || failure.where.startsWith(work.directory);
  return OF_ONE_WAY.has(failure.reason);
}

function sizeOf(decision: Extract<Decision, { how: 'nothing' }>): number {
  return decision.last.document.size;
}
