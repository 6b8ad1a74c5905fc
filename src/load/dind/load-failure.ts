import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '../../model/failure.ts';
import type { ApiFailure } from '../../tools/engine-api.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { EngineContainer } from './engine-container.ts';

/** How gRPC's client words a server that is gone: google.golang.org/grpc's transport errors. */
const CONTAINERD_GONE =
  /error reading from server|code = Unavailable|transport is closing|transport: error while dialing|containerd\.sock: connect:/i;

/** What is left of it where dockerd was just sending, or of a stream that containerd has ended itself. */
const STREAM_ENDED = /failed to send write: EOF/;
/** Milliseconds; our container looks once a second whether its containerd is still there, and ends without. */
const NOTICED = 1500;

/** What a failed call to the engine was really about: a full partition, a dead daemon, or the image. */
export async function loadFailure(
  image: string,
  failure: ApiFailure,
  engine: EngineContainer,
): Promise<Failure> {
  if (/no space left on device/i.test(failure.detail))
    return { reason: 'no-space', where: DATA_IMAGE };
  const doing = `loading ${image}`;
  let death = await engine.death(doing);
  if (death === undefined && STREAM_ENDED.test(failure.detail)) {
    await sleep(NOTICED);
    death = await engine.death(doing);
  }
  if (death !== undefined) return death;
  // The daemon starts its containerd again, but what that was doing is lost.
  if (CONTAINERD_GONE.test(failure.detail))
    return {
      reason: 'engine-died',
      doing,
      detail: `its containerd ended: ${failure.detail}`,
      log: await engine.lastLog(),
    };
  return { reason: 'load-incomplete', image, detail: failure.detail };
}
