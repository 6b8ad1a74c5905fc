import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import { pinTarget } from '../../src/fetch/pin.ts';
import { exitCodeOf } from '../../src/model/exit-code.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import type { Result } from '../../src/model/result.ts';
import type { Fault } from '../rig/fault-proxy.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import type { FaultProxy } from '../rig/fault-proxy.ts';
import { digestOf, makeImage, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { recorder, wantedOf } from './fetch-fixture.ts';

/**
 * What every misbehaviour of a registry costs in attempts and waits, and how it ends: through a proxy in front of the
 * real registry, with a clock that only notes what it is asked to wait.
 */
const owner = fileOwner();
let directory: string;
let registry: Registry;
let pins: TargetPins;
/** The last and largest layer: what comes before it is there when it fails. */
let layer: string;
let layers: readonly string[];

before(async () => {
  directory = temporaryTree(owner);
  registry = await startRegistry(owner);
  const parts = [
    await makeLayer({ base: noise(31, 100_000) }),
    await makeLayer({ large: noise(32, 2_000_000) }),
  ];
  layers = parts.map(({ digest }) => digest);
  layer = layers[1] ?? '';
  await push(registry, 'home/app:1', await makeImage({ platform: 'linux/amd64', layers: parts }));
  await push(
    registry,
    'library/docker:28-dind',
    await makeImage({ platform: 'linux/amd64', layers: [{}] }),
  );
  const pinned = await pinTarget(
    wantedOf(registry, { app: `${registry.host}/home/app:1` }, 'linux/amd64'),
    { retryDelays: [] },
    recorder(),
  );
  assert(pinned.ok, JSON.stringify(pinned));
  pins = pinned.value;
});

interface Case {
  readonly name: string;
  readonly faults: readonly Distribute<Fault>[];
  /** Seconds that are waited between attempts: there is one attempt more. */
  readonly waits: readonly number[];
  readonly exit: 0 | 4 | 5;
  readonly why?: string;
  readonly stall?: number;
}
type Distribute<F> = F extends Fault ? Omit<F, 'match'> : never;

const status = (code: number, times?: number, headers = {}): Distribute<Fault> => ({
  kind: 'status',
  status: code,
  headers,
  ...(times === undefined ? {} : { times }),
});

// skopeo itself tries once more after a reset, and four times more after 429: within one attempt of ours.
const CASES: readonly Case[] = [
  { name: '503 twice', faults: [status(503, 2)], waits: [5, 15], exit: 0 },
  { name: '500', faults: [status(500, 1)], waits: [5], exit: 0 },
  {
    name: '502, 503 and 504',
    faults: [status(502, 1), status(503, 1), status(504, 1)],
    waits: [5, 15, 45],
    exit: 0,
  },
  { name: '429, which skopeo waits out', faults: [status(429, 1)], waits: [], exit: 0 },
  { name: '429 for longer than skopeo waits', faults: [status(429, 5)], waits: [5], exit: 0 },
  {
    name: '429 with a Retry-After that is longer than our own wait',
    faults: [status(429, 5, { 'Retry-After': '7' })],
    waits: [7],
    exit: 0,
    // Shorter than what the registry asks for: waiting for that is no stall.
    stall: 4_000,
  },
  {
    name: '429 with a Retry-After that is shorter',
    faults: [status(429, 5, { 'Retry-After': '1' })],
    waits: [5],
    exit: 0,
  },
  { name: 'a reset in mid-blob', faults: [{ kind: 'reset', times: 2 }], waits: [5], exit: 0 },
  { name: 'a truncated blob', faults: [{ kind: 'truncate', times: 1 }], waits: [5], exit: 0 },
  {
    name: 'a stalled blob',
    faults: [{ kind: 'stall', times: 1 }],
    waits: [5],
    exit: 0,
    stall: 1_500,
  },
  {
    name: 'a blob that always stalls',
    faults: [{ kind: 'stall' }],
    waits: [5, 15, 45],
    exit: 4,
    stall: 1_000,
  },
  { name: 'a corrupted blob, once', faults: [{ kind: 'corrupt', times: 1 }], waits: [5], exit: 0 },
  {
    name: 'a corrupted blob, always',
    faults: [{ kind: 'corrupt' }],
    waits: [5],
    exit: 5,
    why: 'wrong-content',
  },
  {
    name: 'a page instead of a blob, always',
    faults: [{ kind: 'html' }],
    waits: [5],
    exit: 5,
    why: 'wrong-content',
  },
  { name: '401', faults: [status(401)], waits: [], exit: 5, why: 'unauthorized' },
  { name: '403', faults: [status(403)], waits: [], exit: 5, why: 'denied' },
  { name: '404', faults: [status(404)], waits: [], exit: 5, why: 'not-found' },
  { name: 'always 503', faults: [status(503)], waits: [5, 15, 45], exit: 4 },
  {
    name: '503, then 404',
    faults: [status(503, 1), status(404)],
    waits: [5],
    exit: 5,
    why: 'not-found',
  },
];

describe('a blob', { concurrency: 4 }, () => {
  for (const { name, faults, waits, exit, why, stall } of CASES)
    it(`${name}: ${waits.length + 1} attempts, exit code ${exit}`, async () => {
      const match = new RegExp(`/blobs/${layer}$`);
      const proxy = await startFaultProxy(owner, {
        upstream: registry.url,
        faults: faults.map((fault) => ({ ...fault, match })),
      });
      const run = await fetchThrough(proxy, stall);
      assert.deepEqual(run.waits, waits, JSON.stringify(run.events));
      assert.equal(run.exit, exit, JSON.stringify(run.result));
      if (why !== undefined) {
        assert(!run.result.ok && run.result.failure.reason === 'registry-refused');
        assert.equal(run.result.failure.why, why);
      }
      if (exit === 4) {
        assert(!run.result.ok && run.result.failure.reason === 'registry-temporary');
        assert.equal(run.result.failure.attempts, waits.length + 1);
      }
      const blobs = await readdir(join(run.store, 'blobs', 'sha256'));
      for (const hex of blobs) assert.equal(await digestIn(run.store, hex), `sha256:${hex}`);
      assert.equal(blobs.includes(layer.slice(7)), exit === 0);
      for (const left of ['staging', 'locks'])
        assert.deepEqual(await readdir(join(run.store, left)), [], left);
      // What had come is not asked for again.
      const base = proxy.requests.filter(
        ({ method, path }) => method === 'GET' && path.endsWith(layers[0] ?? '?'),
      );
      assert.equal(base.length, 1);
      await proxy.stop();
    });
});

describe('a manifest', { concurrency: 4 }, () => {
  for (const { name, faults, waits, exit } of CASES.filter(({ name }) =>
    ['503 twice', 'always 503', '401', '403', '404', 'a truncated blob'].includes(name),
  ))
    it(`${name.replace('blob', 'manifest')}: ${waits.length + 1} attempts, exit code ${exit}`, async () => {
      const proxy = await startFaultProxy(owner, {
        upstream: registry.url,
        faults: faults.map((fault) => ({ ...fault, match: /\/manifests\/1$/ })),
      });
      const waited: number[] = [];
      const pinned = await pinTarget(
        wantedOf(registry, { app: `${proxy.host}/home/app:1` }, 'linux/amd64'),
        { sleep: noting(waited) },
        recorder(),
      );
      assert.deepEqual(waited, waits);
      assert.equal(pinned.ok ? 0 : exitCodeOf(pinned.failure), exit, JSON.stringify(pinned));
      await proxy.stop();
    });
});

describe('a file', () => {
  for (const { name, fault, waits, exit } of [
    {
      name: '429 with a Retry-After',
      fault: status(429, 1, { 'Retry-After': '30' }),
      waits: [30],
      exit: 0,
    },
    {
      name: '503 with a date to come back at',
      fault: status(503, 1, { 'Retry-After': new Date(Date.now() + 3_600_000).toUTCString() }),
      waits: [600],
      exit: 0,
    },
    {
      name: '503 with a date in the past',
      fault: status(503, 1, { 'Retry-After': new Date(0).toUTCString() }),
      waits: [5],
      exit: 0,
    },
    {
      name: '429 with nonsense',
      fault: status(429, 1, { 'Retry-After': 'soon' }),
      waits: [5],
      exit: 0,
    },
    { name: '404', fault: status(404), waits: [], exit: 5 },
  ])
    it(`${name}: ${waits.length + 1} attempts, exit code ${exit}`, async () => {
      const proxy = await startFaultProxy(owner, {
        upstream: registry.url,
        faults: [{ ...fault, match: /\/blobs\// }],
      });
      const url = `${proxy.url}/v2/home/app/blobs/${layer}`;
      const wanted = wantedOf(registry, {}, 'linux/amd64');
      const waited: number[] = [];
      const pinned = await pinTarget(
        { ...wanted, files: { file: { kind: 'url', url, mode: '0644' } } },
        { sleep: noting(waited) },
        recorder(),
      );
      assert.deepEqual(waited, waits);
      assert.equal(pinned.ok ? 0 : exitCodeOf(pinned.failure), exit);
      if (pinned.ok) assert.equal(pinned.value.files['file']?.sha256, layer);
      await proxy.stop();
    });
});

interface Run {
  readonly result: Result<unknown>;
  readonly exit: number;
  readonly waits: readonly number[];
  readonly events: readonly unknown[];
  readonly store: string;
}

async function fetchThrough(proxy: FaultProxy, stall: number | undefined): Promise<Run> {
  const app = pins.images['app'];
  assert(app !== undefined);
  const reference = app.reference.replace(registry.host, proxy.host);
  const store = join(directory, proxy.host);
  await mkdir(store);
  const waits: number[] = [];
  const context = recorder();
  const result = await fetchTarget(
    { ...pins, images: { app: { ...app, reference } } },
    {},
    { store, sleep: noting(waits), stall },
    context,
  );
  const failed = context.events.filter((event) => event.type === 'attempt-failed');
  assert.equal(failed.length, waits.length);
  return { result, exit: result.ok ? 0 : exitCodeOf(result.failure), waits, events: failed, store };
}

function noting(waits: number[]): (milliseconds: number) => Promise<void> {
  return (milliseconds) => {
    waits.push(milliseconds / 1000);
    return Promise.resolve();
  };
}

async function digestIn(store: string, hex: string): Promise<string> {
  return digestOf(await readFile(join(store, 'blobs', 'sha256', hex)));
}
