import type { Failure } from '../../model/failure.ts';
import type { ApiFailure } from '../../tools/engine-api.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { EngineContainer } from './engine-container.ts';

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
  return { reason: 'load-incomplete', image, detail: failure.detail };
}
