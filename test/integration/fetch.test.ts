import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { chmod, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import type { FetchOptions, FetchSummary } from '../../src/fetch/fetch-target.ts';
import { pinTarget } from '../../src/fetch/pin.ts';
import type { PinOptions } from '../../src/fetch/pin.ts';
import type { Failure } from '../../src/model/failure.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import { parsePlatform } from '../../src/model/platform.ts';
import { parseReference } from '../../src/model/reference.ts';
import type { Reference } from '../../src/model/reference.ts';
import type { Result } from '../../src/model/result.ts';
import type { Wanted } from '../../src/plan/wanted.ts';
import { runCommand } from '../../src/tools/run-command.ts';
import type { Image, Layer } from '../rig/image.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { blobGets, recorder } from './fetch-fixture.ts';

const owner = fileOwner();
let directory: string;
let registry: Registry;
let stores = 0;

before(async () => {
  directory = temporaryTree(owner);
  await chmod(directory, 0o755);
  registry = await startRegistry(owner);
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
});

describe('pin', () => {
  it('fixes an index, its manifest, its config and the dind image for both builders', async () => {
    const pins = valueOf(await pin(['a', 'b']));
    const a = pins.images['a'];
    assert(a?.index !== undefined);
    assert.equal(a.reference, `${registry.host}/home/a:1@${a.index}`);
    assert.equal(a.platform, 'linux/amd64');
    assert.notEqual(a.manifest.digest, a.index);
    assert.equal(a.layers.length, 2);
    // Docker's schema 2 is kept as it is.
    assert.equal(
      pins.images['b']?.manifest.mediaType,
      'application/vnd.docker.distribution.manifest.v2+json',
    );
    assert.equal(pins.images['b'].index, undefined);
    assert.deepEqual(Object.keys(pins.dind?.platforms ?? {}), ['linux/amd64', 'linux/arm64']);
    assert.equal(JSON.stringify(valueOf(await pin(['a', 'b']))), JSON.stringify(pins));
  });

  it('chooses the exact variant, whatever is listed first', async () => {
    const pins = valueOf(await pin(['arms'], { platform: 'linux/arm/v6' }));
    assert.equal(pins.images['arms']?.platform, 'linux/arm/v6');
  });

  it('refuses a platform that is not there, and lists what is, for an index and for a single image', async () => {
    const index = failureOf(await pin(['a'], { platform: 'linux/riscv64' }));
    assert(index.reason === 'platform-not-offered');
    assert.deepEqual(index.offered, ['linux/amd64', 'linux/arm64']);
    const single = failureOf(await pin(['b'], { platform: 'linux/arm64' }));
    assert(single.reason === 'platform-not-offered');
    assert.deepEqual(single.offered, ['linux/amd64']);
  });

  it('does not wait for a name that is not there', async () => {
    const failure = failureOf(await pin(['absent'], { access: { retryDelays: [60_000] } }));
    assert(failure.reason === 'registry-refused');
    assert.equal(failure.why, 'not-found');
  });

  it('reads everything from a mirror where the registry itself can not be reached', async () => {
    for (const mirror of [registry.host, `http://${registry.host}/`]) {
      const context = recorder();
      const wanted = wantedOf({ a: 'unreachable.invalid/home/a:1' }, 'linux/amd64');
      const pinned = valueOf(
        await pinTarget(wanted, { mirrors: [mirror], retryDelays: [60_000] }, context),
      );
      assert.match(pinned.images['a']?.reference ?? '', /^unreachable\.invalid\/home\/a:1@sha256:/);
      const summary = await fetchInto(newStore(), pinned, {
        mirrors: [mirror],
        retryDelays: [60_000],
      });
      assert.equal(valueOf(summary).blobs.length, 4);
      assert.deepEqual(
        context.events.filter((event) => event.type === 'attempt-failed'),
        [],
      );
    }
  });
});

describe('fetch', () => {
  it('downloads each blob once, cold, and asks for nothing, warm', async () => {
    const pins = valueOf(await pin(['a', 'b', 'twice']));
    const store = newStore();
    const since = (await registry.requests()).length;
    const amd64 = platformOf('linux/amd64');
    const summary = valueOf(await fetchInto(store, pins, { dindPlatform: amd64 }));
    const cold = (await registry.requests()).slice(since);
    const gets = blobGets(cold);
    const base = pins.images['a']?.layers[0]?.digest ?? '';
    assert.equal(gets.get(base), 1, 'the shared base came more than once');
    assert.equal(new Set(summary.blobs).size, summary.blobs.length);
    assert.equal((await readdir(join(store, 'blobs', 'sha256'))).length, summary.blobs.length);
    await assertSound(store);
    for (const kind of ['staging', 'locks']) assert.deepEqual(await readdir(join(store, kind)), []);

    const context = recorder();
    const before = (await registry.requests()).length;
    const again = valueOf(
      await fetchTarget(pins, {}, { store, dindPlatform: amd64, offline: true }, context),
    );
    assert.equal(again.downloaded, 0);
    assert.equal((await registry.requests()).length, before);
    assert.deepEqual(
      context.events.map((event) => event.type),
      ['fetch-planned', 'fetched'],
    );
  });

  it('keeps layouts that skopeo reads, with the digest of the registry', async () => {
    const pins = valueOf(await pin(['a', 'b']));
    const store = newStore();
    valueOf(await fetchInto(store, pins));
    for (const name of ['a', 'b']) {
      const hex = pins.images[name]?.manifest.digest.slice(7) ?? '';
      const layout = join(
        store,
        'images',
        `${registry.host.replace(':', '_')}_home_${name}_1@sha256_${hex}`,
      );
      const inspected = await runCommand('skopeo', ['inspect', `oci:${layout}`]);
      assert(inspected.ok, JSON.stringify(inspected));
      assert.equal(
        (JSON.parse(inspected.value.stdout) as { Digest: string }).Digest,
        `sha256:${hex}`,
      );
    }
  });

  it('says offline what is missing and whose, and makes no store', async () => {
    const pins = valueOf(await pin(['a']));
    const store = newStore();
    const failure = failureOf(await fetchInto(store, pins, { offline: true }));
    assert(failure.reason === 'blob-bad');
    assert.equal(failure.problem, 'missing');
    assert.equal(failure.owner, 'a');
    await assert.rejects(stat(store));
  });

  it('finds a blob whose content changed, and fetches that one again', async () => {
    const pins = valueOf(await pin(['a']));
    const store = newStore();
    valueOf(await fetchInto(store, pins));
    const layer = pins.images['a']?.layers[1];
    assert(layer !== undefined);
    const path = join(store, 'blobs', 'sha256', layer.digest.slice(7));
    await chmod(path, 0o644);
    const content = await readFile(path);
    content[10] = (content[10] ?? 0) ^ 1;
    await writeFile(path, content);
    await utimes(path, new Date(0), new Date(0));
    assert.deepEqual(valueOf(await fetchInto(store, pins)).blobs, [layer.digest]);
    await chmod(path, 0o644);
    await truncate(path, 5);
    const offline = failureOf(await fetchInto(store, pins, { offline: true }));
    assert(offline.reason === 'blob-bad');
    assert.equal(offline.problem, 'wrong size');
    assert.deepEqual(valueOf(await fetchInto(store, pins)).blobs, [layer.digest]);
    await assertSound(store);
  });

  it('refuses an image that is not for the platform in the pins', async () => {
    const pins = valueOf(await pin(['b']));
    const b = pins.images['b'];
    assert(b !== undefined);
    const wrong = { ...pins, images: { b: { ...b, platform: 'linux/arm64' } } };
    const failure = failureOf(await fetchInto(newStore(), wrong));
    assert(failure.reason === 'platform-mismatch');
    assert.deepEqual([failure.expected, failure.actual], ['linux/arm64', 'linux/amd64']);
  });

  it('keeps files by URL and by content, verified', async () => {
    await withServer(
      (_, response) => response.end('profile'),
      async (host) => {
        const url = `http://${host}/profile.txt`;
        const wanted: Wanted = {
          ...wantedOf({ b: `${registry.host}/home/b:1` }, 'linux/amd64'),
          files: {
            'x/profile': { mode: '0644', kind: 'url', url },
            'x/text': { mode: '0600', kind: 'content', content: Buffer.from('text') },
          },
        };
        const pins = valueOf(await pinTarget(wanted, { retryDelays: [] }, recorder()));
        assert.equal(pins.files['x/profile']?.url, url);
        const store = newStore();
        const options = { store, retryDelays: [] };
        assert.equal(valueOf(await fetchTarget(pins, wanted.files, options, recorder())).files, 2);
        const hex = pins.files['x/profile'].sha256.slice(7);
        assert.equal(await readFile(join(store, 'files', 'sha256', hex), 'utf8'), 'profile');
        assert.equal((await readdir(join(store, 'files', 'sha256'))).length, 2);
        // Changed at its address: not the pinned one, twice, so refused.
        const profile = { mode: '0644', url, size: 7, sha256: pins.images['b']?.config.digest };
        const moved = { ...pins, files: { 'x/profile': profile } } as TargetPins;
        const changed = failureOf(
          await fetchTarget(moved, {}, { store: newStore(), retryDelays: [1, 1, 1] }, recorder()),
        );
        assert(changed.reason === 'registry-refused');
        assert.equal(changed.why, 'wrong-content');
      },
    );
  });

  it('passes over a mirror that fails, and says so', async () => {
    await withServer(
      (_, response) => response.writeHead(503).end(),
      async (host) => {
        const pins = valueOf(await pin(['b']));
        const context = recorder();
        const options = { store: newStore(), mirrors: [`${host}/mirror`], retryDelays: [60_000] };
        valueOf(await fetchTarget(pins, {}, options, context));
        const said = context.events.filter((event) => event.type === 'mirror-failed');
        assert.equal(said.length, 1);
        assert.match(said[0]?.detail ?? '', /503/);
      },
    );
  });

  it('makes four attempts against a registry that always answers 503, and says 4 of them', async () => {
    await withServer(
      (_, response) => response.writeHead(503).end(),
      async (host) => {
        const pins = valueOf(await pin(['b']));
        const b = pins.images['b'];
        assert(b !== undefined);
        const there = { ...b, reference: b.reference.replace(registry.host, host) };
        const context = recorder();
        const slept: number[] = [];
        const sleep = (milliseconds: number): Promise<void> => {
          slept.push(milliseconds);
          return Promise.resolve();
        };
        const store = newStore();
        const failure = failureOf(
          await fetchTarget({ ...pins, images: { b: there } }, {}, { store, sleep }, context),
        );
        assert(failure.reason === 'registry-temporary');
        assert.equal(failure.attempts, 4);
        assert.deepEqual(slept, [5_000, 15_000, 45_000]);
        assert.deepEqual(await readdir(join(store, 'staging')), []);
        assert.deepEqual(await readdir(join(store, 'locks')), []);
      },
    );
  });

  for (const { name, fault, attempts, end } of [
    { name: '503 twice', fault: { kind: 'status', status: 503, times: 2 }, attempts: 3, end: 'ok' },
    { name: 'a cut-off blob', fault: { kind: 'truncate', times: 1 }, attempts: 2, end: 'ok' },
    { name: 'a damaged blob, once', fault: { kind: 'corrupt', times: 1 }, attempts: 2, end: 'ok' },
    {
      name: 'a damaged blob, always',
      fault: { kind: 'corrupt' },
      attempts: 2,
      end: 'wrong-content',
    },
    { name: '401', fault: { kind: 'status', status: 401 }, attempts: 1, end: 'unauthorized' },
    { name: '403', fault: { kind: 'status', status: 403 }, attempts: 1, end: 'denied' },
    { name: '404', fault: { kind: 'status', status: 404 }, attempts: 1, end: 'not-found' },
  ] satisfies readonly FaultCase[])
    it(`attempts as often as it should: ${name}`, async () => {
      const pins = valueOf(await pin(['b']));
      const b = pins.images['b'];
      assert(b?.layers[1] !== undefined);
      const match = new RegExp(`/blobs/${b.layers[1].digest}`);
      const faults = [{ ...fault, match }];
      const proxy = await startFaultProxy(owner, { upstream: registry.url, faults });
      const there = { ...b, reference: b.reference.replace(registry.host, proxy.host) };
      const context = recorder();
      const store = newStore();
      const result = await fetchTarget(
        { ...pins, images: { b: there } },
        {},
        { store, retryDelays: [1, 1, 1] },
        context,
      );
      if (result.ok) assert.equal(end, 'ok');
      else {
        assert(result.failure.reason === 'registry-refused', JSON.stringify(result.failure));
        assert.equal(result.failure.why, end);
      }
      const failures = context.events.filter((event) => event.type === 'attempt-failed');
      assert.equal(failures.length + 1, attempts, JSON.stringify(failures));
      await assertSound(store);
    });

  it('ends a download that stalls', async () => {
    await withServer(
      () => undefined,
      async (host) => {
        const pins = valueOf(await pin(['b']));
        const b = pins.images['b'];
        assert(b !== undefined);
        const there = { ...b, reference: b.reference.replace(registry.host, host) };
        const options = { store: newStore(), stall: 700, retryDelays: [] };
        const failure = failureOf(
          await fetchTarget({ ...pins, images: { b: there } }, {}, options, recorder()),
        );
        assert(failure.reason === 'registry-temporary');
        assert.match(failure.detail, /no byte/);
      },
    );
  });

  it('ends when called off, and leaves no staging', async () => {
    await withServer(
      () => undefined,
      async (host) => {
        const pins = valueOf(await pin(['b']));
        const b = pins.images['b'];
        assert(b !== undefined);
        const there = { ...b, reference: b.reference.replace(registry.host, host) };
        const stop = new AbortController();
        const context = recorder(stop.signal);
        const store = newStore();
        const running = fetchTarget(
          { ...pins, images: { b: there } },
          {},
          { store },
          {
            ...context,
            report: (event) => {
              if (event.type === 'fetch-started')
                setTimeout(() => {
                  stop.abort('SIGINT');
                }, 100);
            },
          },
        );
        assert.deepEqual(failureOf(await running), { reason: 'interrupted', signal: 'SIGINT' });
        assert.deepEqual(await readdir(join(store, 'staging')), []);
        assert.deepEqual(await readdir(join(store, 'locks')), []);
      },
    );
  });

  it('works on a full, read-only store of another user', async () => {
    assert.equal(process.getuid?.(), 0, 'this test needs root to become another user');
    const pins = valueOf(await pin(['a']));
    const store = newStore();
    valueOf(await fetchInto(store, pins));
    const pinsFile = join(directory, 'read-only-pins.json');
    await writeFile(pinsFile, JSON.stringify(pins));
    const child = await runChild(pinsFile, store, 65_534);
    assert.equal(child.code, 0, child.output);
    assert.match(child.output, /"downloaded":0/);
  });
});

describe('several processes with one store', () => {
  it('download each blob once between them', async () => {
    const shared = await makeLayer({ shared: noise(10, 3_000_000) });
    for (const [seed, name] of ['one', 'two', 'three'].entries()) {
      const own = await makeLayer({ [name]: noise(20 + seed, 3_000_000) });
      const image = await makeImage({ platform: 'linux/amd64', layers: [shared, own] });
      await push(registry, `many/${name}:1`, image);
    }
    const pins = valueOf(await pin(['one', 'two', 'three'], { path: 'many' }));
    const pinsFile = join(directory, 'many-pins.json');
    await writeFile(pinsFile, JSON.stringify(pins));
    const since = (await registry.requests()).length;
    const store = newStore();
    const children = await Promise.all([1, 2, 3, 4].map(() => runChild(pinsFile, store)));
    for (const child of children) assert.equal(child.code, 0, child.output);
    const gets = blobGets((await registry.requests()).slice(since));
    assert.deepEqual(
      [...gets.values()].filter((count) => count !== 1),
      [],
      JSON.stringify([...gets]),
    );
    assert.equal(gets.size, 7);
    await assertSound(store);
    assert.deepEqual(await readdir(join(store, 'staging')), []);
  });

  it('takes over at once what a killed one claimed, and sweeps what it left', async () => {
    const pins = valueOf(await pin(['b']));
    const b = pins.images['b'];
    assert(b !== undefined);
    const store = newStore();
    let sayAsked: (() => void) | undefined;
    const asked = new Promise<void>((resolve) => {
      sayAsked = resolve;
    });
    await withServer(
      () => sayAsked?.(),
      async (host) => {
        const stuck = { ...b, reference: b.reference.replace(registry.host, host) };
        const pinsFile = join(directory, 'stuck-pins.json');
        await writeFile(pinsFile, JSON.stringify({ ...pins, images: { b: stuck } }));
        const child = startChild(pinsFile, store);
        await Promise.race([asked, child.ended]);
        child.process.kill('SIGKILL');
        await child.ended;
      },
    );
    assert.equal((await readdir(join(store, 'staging'))).length, 1);
    assert.notEqual((await readdir(join(store, 'locks'))).length, 0);
    const context = recorder();
    const started = performance.now();
    const summary = valueOf(await fetchTarget(pins, {}, { store }, context));
    assert(performance.now() - started < 20_000);
    assert.equal(summary.blobs.length, 4);
    assert.equal(context.events.filter((event) => event.type === 'reaped').length, 1);
    assert.deepEqual(await readdir(join(store, 'staging')), []);
    assert.deepEqual(await readdir(join(store, 'locks')), []);
  });
});

function newStore(): string {
  return join(directory, `store-${++stores}`);
}

async function pin(
  names: readonly string[],
  how: { readonly platform?: string; readonly access?: PinOptions; readonly path?: string } = {},
): Promise<Result<TargetPins>> {
  const images = Object.fromEntries(
    names.map((name) => [name, `${registry.host}/${how.path ?? 'home'}/${name}:1`]),
  );
  const wanted = wantedOf(images, how.platform ?? 'linux/amd64');
  return pinTarget(wanted, { retryDelays: [], ...how.access }, recorder());
}

async function fetchInto(
  store: string,
  pins: TargetPins,
  options: Partial<FetchOptions> = {},
): Promise<Result<FetchSummary>> {
  return fetchTarget(pins, {}, { retryDelays: [], ...options, store }, recorder());
}

function wantedOf(images: Readonly<Record<string, string>>, platform: string): Wanted {
  return {
    target: { platform, set: {} },
    platform: platformOf(platform),
    vars: {},
    partition: { label: 'data', size: 'auto', headroom: { percent: 10 }, dataRoot: 'docker' },
    engine: { name: 'docker', store: 'containerd', version: '28', unpack: true },
    dind: reference(`${registry.host}/library/docker:28-dind`),
    images: Object.fromEntries(
      Object.entries(images).map(([name, from]) => [
        name,
        { reference: reference(from), names: [from] },
      ]),
    ),
    files: {},
  };
}

function platformOf(text: string): Wanted['platform'] {
  const parsed = parsePlatform(text);
  assert(parsed.ok);
  return parsed.value;
}

function reference(text: string): Reference {
  const parsed = parseReference(text);
  assert(parsed.ok);
  return parsed.value;
}

function valueOf<T>(result: Result<T>): T {
  assert(result.ok, JSON.stringify(result));
  return result.value;
}

function failureOf(result: Result<unknown>): Failure {
  assert(!result.ok, JSON.stringify(result));
  return result.failure;
}

/** Every blob is what its name says. */
async function assertSound(store: string): Promise<void> {
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

async function withServer(
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

interface FaultCase {
  readonly name: string;
  readonly fault:
    | { readonly kind: 'status'; readonly status: number; readonly times?: number }
    | { readonly kind: 'truncate' | 'corrupt'; readonly times?: number };
  readonly attempts: number;
  readonly end: string;
}

interface Child {
  readonly process: ReturnType<typeof spawn>;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

function startChild(pinsFile: string, store: string, uid?: number): Child {
  const script = join(import.meta.dirname, 'fetch-child.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', script, pinsFile, store], {
    cwd: join(import.meta.dirname, '..', '..'),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = new Promise<{ code: number | null; output: string }>((resolve) =>
    child.once('close', (code) => {
      resolve({ code, output });
    }),
  );
  return {
    process: child,
    ended,
  };
}

async function runChild(
  pinsFile: string,
  store: string,
  uid?: number,
): Promise<{ readonly code: number | null; readonly output: string }> {
  return startChild(pinsFile, store, uid).ended;
}
