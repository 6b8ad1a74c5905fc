import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import { blobGets, recorder } from './fetch-fixture.ts';
import { assertSound, fetchInto, startFetchHome, valueOf, withServer } from './fetch-home.ts';

/** One store and several processes, of several users, that come one after the other, at once, or die. */
const owner = fileOwner();
const { directory, newStore, pin, registry } = await startFetchHome(owner);

describe('several processes with one store', () => {
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
