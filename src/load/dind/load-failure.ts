import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '../../model/failure.ts';
import type { ApiFailure } from '../../tools/engine-api.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { EngineContainer } from './engine-container.ts';

/** gRPC's code for a server that is gone, and how its client words that without one. */
const CONTAINERD_GONE =
  /\bUnavailable\b|error reading (from server|server preface)|transport is closing|error while dialing|containerd\.sock: connect:/i;

/** Milliseconds; our container looks once a second whether its containerd is still there, and ends without. */
const NOTICED = 1500;

/** What a failed call to the engine was really about: a full partition, a dead daemon, or the image. */
export async function loadFailure(
  image: string,
  failure: ApiFailure,
  engine: Pick<EngineContainer, 'death' | 'lastLog'>,
): Promise<Failure> {
  if (/no space left on device/i.test(failure.detail))
    return { reason: 'no-space', where: DATA_IMAGE };
  const doing = `loading ${image}`;
  const death = (await engine.death(doing)) ?? (await deathOfContainerd(doing, engine));
  if (death !== undefined) return death;
  // Where our container was too slow to notice.
  if (CONTAINERD_GONE.test(failure.detail))
    return {
      reason: 'engine-died',
      doing,
      detail: `its containerd ended: ${failure.detail}`,
      log: await engine.lastLog(),
    };
  return { reason: 'load-incomplete', image, detail: failure.detail };
}

/**
 * A dockerd whose containerd has just ended answers, with errors of many kinds or with images that lack what
 * containerd knew of them. Our container notices, and ends.
 */
async function deathOfContainerd(
  doing: string,
  engine: Pick<EngineContainer, 'death'>,
): Promise<Failure | undefined> {
  await sleep(NOTICED);
  return engine.death(doing);
}
