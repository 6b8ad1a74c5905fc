import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { LimitFunction } from 'p-limit';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import type { ImagePin } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { hybridArchive } from '../../oci/hybrid-archive.ts';
import type { PlannedLoad } from '../../plan/load-order.ts';
import { layerBytes, planLoads } from '../../plan/load-order.ts';
import { interruption } from '../../model/file-failure.ts';
import type { Store } from '../../store/store.ts';
import { brokenBlob } from '../broken-blob.ts';
import type { EngineContainer } from './engine-container.ts';
import { loadFailure } from './load-failure.ts';
import { statedPlatform } from './stated-platform.ts';

/** Archives that are read into the engine at once. */
const IMPORTS = 2;
/** Images that are unpacked at once: one more than there are cores keeps all of them busy. */
const UNPACKS = availableParallelism() + 1;

/** Milliseconds for one image, so that a daemon that hangs ends the build: 10 minutes and a second for each MiB. */
function loadDeadline(image: ImagePin): number {
  return 600_000 + Math.ceil(layerBytes(image) / (1024 * 1024)) * 1000;
}

/**
 * Streams every image into the engine. An engine unpacks an image once it has read all of its archive, so the
 * archives' blobs are read at once and their ends are held back: until the layers that others bring are unpacked,
 * as two loads that unpack one layer both do the work and leave the loser's snapshot as garbage.
 */
export async function loadImages(
  images: Readonly<Record<string, ImagePin>>,
  store: Store,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  // The first failure calls the other loads off.
  const abort = new AbortController();
  const loading: Loading = {
    store,
    engine,
    context: { ...context, signal: AbortSignal.any([context.signal, abort.signal]) },
    imports: pLimit(IMPORTS),
    unpacks: pLimit(UNPACKS),
    through: new Map(),
  };
  let failure: Failure | undefined;
  for (const planned of planLoads(images)) {
    const through = loadImage(planned, loading).then((loaded) => {
      if (loaded.ok) return;
      failure ??= loaded.failure;
      abort.abort('called off');
    });
    loading.through.set(planned, through);
  }
  const ended = await Promise.allSettled(loading.through.values());
  for (const load of ended) if (load.status === 'rejected') throw load.reason;
  if (context.signal.aborted) return fail(interruption(context.signal));
  return failure === undefined ? ok() : fail(failure);
}

interface Loading {
  readonly store: Store;
  readonly engine: EngineContainer;
  readonly context: Context;
  readonly imports: LimitFunction;
  readonly unpacks: LimitFunction;
  /** Settles when a load has ended, in whatever way. */
  readonly through: Map<PlannedLoad, Promise<void>>;
}

async function loadImage(planned: PlannedLoad, loading: Loading): Promise<Result<void>> {
  const { name, image } = planned;
  const { store, engine, context } = loading;
  const { signal } = context;
  const start = Date.now();
  const deadline = loadDeadline(image);
  const timeout = new AbortController();
  const isRead = new Gate();
  const mayEnd = new Gate();
  const archive = hybridArchive([image], (digest) => store.blobPath(digest), {
    // overlay2 looks at every layer that the archive's manifest.json names, needed or not.
    ...(engine.store === 'containerd' ? { without: planned.borrowed } : {}),
    beforeEnd: () => {
      isRead.open();
      return mayEnd.opened;
    },
  });
  const platform = await statedPlatform(store, image);
  const sent = await loading.imports(async () => {
    if (signal.aborted) return undefined;
    const reply = engine.load(archive, platform, AbortSignal.any([signal, timeout.signal]));
    await within(deadline, timeout, Promise.race([isRead.opened, reply]));
    return { reply };
  });
  if (sent === undefined) {
    archive.destroy();
    return fail(interruption(signal));
  }
  const others = Promise.all(planned.after.flatMap((other) => loading.through.get(other) ?? []));
  await Promise.race([others, sent.reply]);
  const loaded = await loading.unpacks(() => {
    mayEnd.open();
    return within(deadline, timeout, sent.reply);
  });
  const broken = brokenBlob(archive, name, store);
  if (broken !== undefined) return fail(broken);
  if (signal.aborted) return fail(interruption(signal));
  if (timeout.signal.aborted)
    return fail({
      reason: 'engine-died',
      doing: `loading ${name}`,
      detail: `it did not finish within ${Math.round(deadline / 1000)} s`,
      log: await engine.lastLog(),
    });
  if (!loaded.ok) return fail(await loadFailure(name, loaded.failure, engine));
  // A load that could not unpack still succeeds and only says so (moby#48293).
  const complaints = engine.unpacks ? /error unpacking|no space left/i : /no space left/i;
  const complaint = loaded.value.find((line) => complaints.test(line));
  if (complaint !== undefined)
    return fail(await loadFailure(name, { reason: 'api-failed', detail: complaint }, engine));
  context.report({
    type: 'loaded',
    image: name,
    bytes: layerBytes(image),
    elapsed: Date.now() - start,
  });
  return ok();
}

class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

/** Aborts what is awaited after so many milliseconds. */
async function within<T>(
  milliseconds: number,
  timeout: AbortController,
  awaited: Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => {
    timeout.abort();
  }, milliseconds);
  try {
    return await awaited;
  } finally {
    clearTimeout(timer);
  }
}
