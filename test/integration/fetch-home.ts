import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, readdir, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import type { FetchOptions, FetchSummary } from '../../src/fetch/fetch-target.ts';
import { pinTarget } from '../../src/fetch/pin.ts';
import type { PinOptions } from '../../src/fetch/pin.ts';
import type { Failure } from '../../src/model/failure.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import type { Result } from '../../src/model/result.ts';
import type { Image, Layer } from '../rig/image.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { recorder, wantedOf } from './fetch-fixture.ts';

/** A registry with a few small images: `home/a` (an index), `b` (Docker's kind), `twice` (a layer twice), `arms`. */
export interface FetchHome {
  readonly registry: Registry;
  readonly directory: string;
  /** Where there is no store yet. */
  readonly newStore: () => string;
  readonly pin: (
    names: readonly string[],
    how?: { readonly platform?: string; readonly access?: PinOptions; readonly path?: string },
  ) => Promise<Result<TargetPins>>;
}

export async function startFetchHome(owner: Owner): Promise<FetchHome> {
  const directory = temporaryTree(owner);
  await chmod(directory, 0o755);
  const registry = await startRegistry(owner);
  const base = await makeLayer({ base: noise(1, 300_000) });
  const layer = (seed: number): Promise<Layer> => makeLayer({ file: noise(seed, 50_000) });
  const image = async (platform: string, ...layers: readonly Layer[]): Promise<Image> =>
    makeImage({ platform, layers });
  const arms = {
    'linux/arm/v7': await image('linux/arm/v7', await layer(4)),
    'linux/arm/v6': await image('linux/arm/v6', await layer(5)),
  };
  const both = {
    'linux/amd64': await image('linux/amd64', base, await layer(2)),
    'linux/arm64': await image('linux/arm64', base, await layer(4)),
  };
  const dind = {
    'linux/amd64': await image('linux/amd64', base),
    'linux/arm64': await image('linux/arm64', base),
  };
  const docker = {
    platform: 'linux/amd64',
    format: 'docker',
    layers: [base, await layer(3)],
  } as const;
  const again = await layer(6);
  await push(registry, 'home/a:1', makeIndex(both));
  await push(registry, 'home/b:1', await makeImage(docker));
  await push(registry, 'home/twice:1', await image('linux/amd64', base, again, again));
  await push(registry, 'library/docker:28-dind', makeIndex(dind));
  await push(registry, 'home/arms:1', makeIndex(arms));
  let stores = 0;
  return {
    registry,
    directory,
    newStore: () => join(directory, `store-${++stores}`),
    pin: (names, { platform = 'linux/amd64', access = {}, path = 'home' } = {}) => {
      const images = names.map((name) => [name, `${registry.host}/${path}/${name}:1`] as const);
      const wanted = wantedOf(registry, Object.fromEntries(images), platform);
      return pinTarget(wanted, { retryDelays: [], ...access }, recorder());
    },
  };
}

export async function fetchInto(
  store: string,
  pins: TargetPins,
  options: Partial<FetchOptions> = {},
): Promise<Result<FetchSummary>> {
  return fetchTarget(pins, {}, { retryDelays: [], ...options, store }, recorder());
}

export function valueOf<T>(result: Result<T>): T {
  assert(result.ok, JSON.stringify(result));
  return result.value;
}

export function failureOf(result: Result<unknown>): Failure {
  assert(!result.ok, JSON.stringify(result));
  return result.failure;
}

/** Every blob is what its name says. */
export async function assertSound(store: string): Promise<void> {
  for (const hex of await readdir(join(store, 'blobs', 'sha256'))) {
    const path = join(store, 'blobs', 'sha256', hex);
    assert.equal(
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
      hex,
    );
    assert.equal((await stat(path)).mode & 0o777, 0o444);
  }
}

/** A server of http with one answer, for as long as it is used. */
export async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse) => unknown,
  use: (host: string) => Promise<void>,
): Promise<void> {
  const server: Server = createServer((request, response) => {
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  try {
    await use(`127.0.0.1:${address.port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
