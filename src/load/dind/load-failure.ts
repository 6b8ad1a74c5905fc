import type { Failure } from '../../model/failure.ts';
import type { ApiFailure } from '../../tools/engine-api.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { EngineContainer } from './engine-container.ts';

/** How gRPC's client words a server that is gone: google.golang.org/grpc's transport errors. */
const CONTAINERD_GONE =
  /error reading from server|code = Unavailable|transport is closing|transport: error while dialing|containerd\.sock: connect:/i;

/** What a failed call to the engine was really about: a full partition, a dead daemon, or the image. */
export async function loadFailure(
  image: string,
  failure: ApiFailure,
  engine: EngineContainer,
): Promise<Failure> {
  if (/no space left on device/i.test(failure.detail))
    return { reason: 'no-space', where: DATA_IMAGE };
  const death = await engine.death(`loading ${image}`);
  if (death !== undefined) return death;
  // The daemon starts its containerd again, but what that was doing is lost.
  if (CONTAINERD_GONE.test(failure.detail))
    return {
      reason: 'engine-died',
      doing: `loading ${image}`,
      detail: `its containerd ended: ${failure.detail}`,
      log: await engine.lastLog(),
    };
  return { reason: 'load-incomplete', image, detail: failure.detail };
}
