import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Makes the process collect what nobody needs once there is a third more than was needed, from then on. V8 by itself
 * waits until there is several times as much, as it can't know that most of what lives for a layer goes with it.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=30');
}

/** Collects what nobody needs, now: for who is about to need memory, and has the hundredth of a second that it takes. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
}
