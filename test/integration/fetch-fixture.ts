import type { Context, Event } from '../../src/model/event.ts';
import type { Request } from '../rig/registry.ts';

/** A context that keeps its events. */
export function recorder(
  signal = new AbortController().signal,
): Context & { readonly events: readonly Event[] } {
  const events: Event[] = [];
  return {
    events,
    signal,
    report: (event) => {
      events.push(event);
    },
  };
}

/** Blob digests with the number of their successful GETs. */
export function blobGets(requests: readonly Request[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { method, path, status } of requests) {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1];
    if (method === 'GET' && status === 200 && digest !== undefined)
      counts.set(digest, (counts.get(digest) ?? 0) + 1);
  }
  return counts;
}
