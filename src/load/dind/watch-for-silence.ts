import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineApi } from '../../tools/engine-api.ts';

/** Milliseconds between two pings. */
const PAUSE = 1000;

/**
 * Aborts `silent` once the daemon has not answered a ping for `patience` milliseconds: its ping needs neither disk
 * nor lock, so it answers at once however much it has to do. `end` stops watching.
 */
export function watchForSilence(
  api: Pick<EngineApi, 'ping'>,
  patience: number,
  silent: AbortController,
  pause = PAUSE,
): { end(): Promise<void> } {
  const ended = new AbortController();
  const watching = (async () => {
    let heard = Date.now();
    while (!ended.signal.aborted) {
      if (await api.ping(ended.signal)) heard = Date.now();
      else if (Date.now() - heard >= patience) {
        silent.abort();
        return;
      }
      await sleep(pause, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  })();
  return {
    end: () => {
      ended.abort();
      return watching;
    },
  };
}
