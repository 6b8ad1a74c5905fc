import assert from 'node:assert/strict';
import type { Context, Event } from '../../src/model/event.ts';
import { parsePlatform } from '../../src/model/platform.ts';
import { parseReference } from '../../src/model/reference.ts';
import type { Reference } from '../../src/model/reference.ts';
import type { Wanted } from '../../src/plan/wanted.ts';
import type { Registry, Request } from '../rig/registry.ts';

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

/** A bundle's wishes: images by name, from where; the loader's image is `library/docker:28-dind` of the registry. */
export function wantedOf(
  registry: Registry,
  images: Readonly<Record<string, string>>,
  platformText: string,
): Wanted {
  const platform = parsePlatform(platformText);
  assert(platform.ok);
  return {
    target: { platform: platformText, set: {} },
    platform: platform.value,
    vars: {},
    partition: { label: 'data', size: 'auto', headroom: { percent: 10 }, dataRoot: 'docker' },
    engine: { name: 'docker', store: 'containerd', version: '28', unpack: true },
    dind: referenceOf(`${registry.host}/library/docker:28-dind`),
    images: Object.fromEntries(
      Object.entries(images).map(([name, from]) => [
        name,
        { reference: referenceOf(from), names: [from] },
      ]),
    ),
    files: {},
  };
}

function referenceOf(text: string): Reference {
  const parsed = parseReference(text);
  assert(parsed.ok);
  return parsed.value;
}
