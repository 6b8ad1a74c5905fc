import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import type { Event } from '../../../src/model/event.ts';
import { digestOf } from '../../../src/model/digest.ts';
import { claimMissing } from '../../../src/store/claims.ts';
import { currentOwner, formatOwner } from '../../../src/store/owner.ts';
import { publish } from '../../../src/store/publish.ts';
import { makeStaging, sweepStaging } from '../../../src/store/staging.ts';
import { createStore } from '../../../src/store/store.ts';
import type { Store } from '../../../src/store/store.ts';
import type { Lock } from '../../../src/store/store-lock.ts';
import { acquireLock, sweepLocks, tryLock } from '../../../src/store/store-lock.ts';

const root = await mkdtemp(join(tmpdir(), 'stowage-lock-'));
let made = 0;
after(() => rm(root, { recursive: true, force: true }));

const newPath = (): string => join(root, `lock-${++made}`);
/** A process that ended: its pid may be reused, its start time can't. */
const dead = { ...currentOwner(), pid: spawnSync('true').pid };
// Another host has another boot, whatever it is called.
const elsewhere = { ...currentOwner(), host: `not-${hostname()}`, boot: 'another' };

async function leaveLock(path: string, owner: typeof dead): Promise<void> {
  await mkdir(join(path, 'lock'), { recursive: true });
  await writeFile(join(path, 'owner-left.json'), formatOwner(owner));
}

async function locked(path: string, stale?: number): Promise<Lock> {
  const attempt = await tryLock(path, stale);
  assert(attempt.ok && 'lock' in attempt.value, JSON.stringify(attempt));
  return attempt.value.lock;
}

async function newStore(): Promise<Store> {
  const store = await createStore(newPath());
  assert(store.ok);
  return store.value;
}

it('is held by one, and leaves nothing behind', async () => {
  const path = newPath();
  const lock = await locked(path);
  const second = await tryLock(path);
  assert(second.ok && 'holder' in second.value);
  assert.deepEqual(second.value.holder, currentOwner());
  await lock.release();
  await lock.release();
  await assert.rejects(stat(path));
  await (await locked(path)).release();
});

it('makes the others wait, says so once, and lets the next one in', async () => {
  const path = newPath();
  const lock = await locked(path);
  const events: Event[] = [];
  const context = {
    signal: new AbortController().signal,
    report: (event: Event) => void events.push(event),
  };
  let released = false;
  const waiting = acquireLock(path, context, { what: 'data.ext4' }).then((result) => {
    assert(released);
    return result;
  });
  await new Promise((resolve) => setTimeout(resolve, 350));
  released = true;
  await lock.release();
  const next = await waiting;
  assert(next.ok);
  await next.value.release();
  assert.deepEqual(events, [
    { type: 'waiting', what: 'data.ext4', holder: `pid ${process.pid} on ${hostname()}` },
  ]);
});

it('ends waiting when called off', async () => {
  const path = newPath();
  const lock = await locked(path);
  const stop = new AbortController();
  const context = {
    signal: stop.signal,
    report: () => {
      stop.abort('SIGTERM');
    },
  };
  assert.deepEqual(await acquireLock(path, context, { what: 'x' }), {
    ok: false,
    failure: { reason: 'interrupted', signal: 'SIGTERM' },
  });
  await lock.release();
});

it('takes a dead one’s lock at once, and only one of many does', async () => {
  for (let round = 0; round < 10; round++) {
    const path = newPath();
    await leaveLock(path, dead);
    const attempts = await Promise.all(Array.from({ length: 8 }, () => tryLock(path)));
    const owners = attempts.flatMap((a) => (a.ok && 'lock' in a.value ? [a.value.lock] : []));
    assert.equal(owners.length, 1, JSON.stringify(attempts));
    await owners[0]?.release();
  }
});

it('takes at once the lock of one who died before writing who it is, and no living one’s', async () => {
  for (const [triers, taken] of [
    [[dead], true],
    [[dead, dead], true],
    [[dead, currentOwner()], false],
    [[elsewhere], false],
    [[], false],
  ] as const) {
    const path = newPath();
    await mkdir(join(path, 'lock'), { recursive: true });
    for (const [index, owner] of triers.entries())
      await writeFile(join(path, `trying-${index}.json`), formatOwner(owner));
    const attempts = await Promise.all(Array.from({ length: 4 }, () => tryLock(path)));
    const locks = attempts.flatMap((a) => (a.ok && 'lock' in a.value ? [a.value.lock] : []));
    // Of four that look at once each may see another that tries; then it is the next look's.
    if (taken && locks.length === 0) locks.push(await locked(path));
    assert.equal(locks.length, taken ? 1 : 0, JSON.stringify(triers));
    await locks[0]?.release();
    if (taken) await assert.rejects(stat(path));
  }
});

it('leaves a lock of another host alone until it is stale', async () => {
  const path = newPath();
  await leaveLock(path, elsewhere);
  const young = await tryLock(path);
  assert(young.ok && 'holder' in young.value);
  assert.equal(young.value.holder?.host, elsewhere.host);
  const old = new Date(Date.now() - 121_000);
  await utimes(join(path, 'lock'), old, old);
  const lock = await locked(path);
  assert.deepEqual((await readdir(path)).length, 2);
  await lock.release();
});

it('sweeps the locks of the dead, and no others', async () => {
  const directory = newPath();
  const of = (name: string): string => join(directory, name);
  await leaveLock(of('dead'), dead);
  // Killed before it had the lock.
  await mkdir(of('tried'));
  await writeFile(join(of('tried'), 'trying-left.json'), formatOwner(dead));
  await leaveLock(of('elsewhere'), elsewhere);
  await leaveLock(of('both'), dead);
  await writeFile(join(of('both'), 'owner-other.json'), formatOwner(elsewhere));
  const lock = await locked(of('living'));
  await sweepLocks(directory);
  assert.deepEqual((await readdir(directory)).sort(), ['both', 'elsewhere', 'living']);
  assert.equal(lock.isLost(), false);
  await lock.release();
  await sweepLocks(join(directory, 'missing'));
});

it('does not take away a lock that it lost', async () => {
  const path = newPath();
  const first = await locked(path);
  // The first one sleeps past the staleness; another host takes the lock over.
  await rm(path, { recursive: true });
  const second = await locked(path);
  assert(first.isLost());
  await first.release();
  assert((await stat(join(path, 'lock'))).isDirectory());
  assert(!second.isLost());
  await second.release();
});

it('fails as a matter of rights where it can’t be made', async () => {
  // Not even root may write to sysfs's root.
  const result = await tryLock('/sys/stowage-lock');
  assert(!result.ok && result.failure.reason === 'access-denied', JSON.stringify(result));
});

it('claims in order: who needs a claimed blob waits for that one, and not for another', async () => {
  const store = await newStore();
  const contents = ['one', 'two', 'three'].map((text) => Buffer.from(text));
  const blobs = contents.map((content) => ({ digest: digestOf(content), size: content.length }));
  const [one, two, three] = blobs;
  assert(one && two && three);
  const context = { signal: new AbortController().signal, report: () => undefined };
  const first = await claimMissing(store, 'blobs', [two, one], context, 'first');
  assert(first.ok);
  assert.deepEqual(
    first.value.missing.map(({ digest }) => digest),
    [one.digest, two.digest].sort(),
  );
  const second = claimMissing(store, 'blobs', [one, three, one], context, 'second');
  const staged = join(store.directory, 'staging', 'one');
  await writeFile(staged, 'one');
  assert((await publish(store, 'blobs', staged, one)).ok);
  await first.value.free(one.digest);
  // `two` is still claimed by the first.
  const got = await second;
  assert(got.ok);
  assert.deepEqual(got.value.missing, [three]);
  await got.value.freeAll();
  await first.value.freeAll();
  assert.deepEqual(await readdir(join(store.directory, 'locks')), []);
});

it('passes a claim on when its owner gives up', async () => {
  const store = await newStore();
  const blob = { digest: digestOf('x'), size: 1 };
  const context = { signal: new AbortController().signal, report: () => undefined };
  const first = await claimMissing(store, 'blobs', [blob], context, 'first');
  assert(first.ok);
  const second = claimMissing(store, 'blobs', [blob], context, 'second');
  await first.value.freeAll();
  const got = await second;
  assert(got.ok);
  assert.deepEqual(got.value.missing, [blob]);
  await got.value.freeAll();
});

it('sweeps the staging of the dead, keeps that of the living, and another host’s for a day', async () => {
  const store = await newStore();
  const mine = await makeStaging(store);
  assert(mine.ok);
  for (const [name, owner] of [
    ['dead', dead],
    ['elsewhere', elsewhere],
  ] as const) {
    await mkdir(join(store.directory, 'staging', name, 'deep'), { recursive: true });
    await writeFile(join(store.directory, 'staging', name, 'owner.json'), formatOwner(owner));
  }
  const events: Event[] = [];
  const report = (event: Event): void => void events.push(event);
  await sweepStaging(store, report);
  const left = async (): Promise<string[]> =>
    (await readdir(join(store.directory, 'staging'))).sort();
  const own = mine.value.directory.split('/').at(-1) ?? '';
  assert.deepEqual(await left(), [own, 'elsewhere'].sort());
  assert.equal(events.length, 1);
  await sweepStaging(store, report, Date.now() + 25 * 60 * 60 * 1000);
  assert.deepEqual(await left(), [own]);
});
