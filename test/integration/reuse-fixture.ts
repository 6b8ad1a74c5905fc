import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine, type OuterEngine } from '../rig/engine.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import { must, type Outcome } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage, startStowage, type Running, type StowageOptions } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** A product with a few small images, and variants of it. */
export interface Reuse {
  readonly engine: OuterEngine;
  readonly store: string;
  /** Writes a bundle, pins and fetches it; returns the arguments that name it. */
  variant(t: TestContext, change?: Variant): Promise<readonly string[]>;
  build(t: TestContext, args: readonly string[], options?: StowageOptions): Promise<Outcome>;
  start(t: TestContext, args: readonly string[]): Running;
}

export interface Variant {
  /** Name to version; `undefined` leaves an image out. */
  readonly images?: Readonly<Record<string, string | undefined>>;
  readonly tags?: Readonly<Record<string, readonly string[]>>;
  readonly files?: Readonly<Record<string, string>>;
}

const IMAGES = { app: '1', audio: '1', cli: '1', dns: '1' };
const FILES = { 'etc/deep/greeting': 'hello', settings: 'old' };

/** Versions 1 and 2 of each image have a base and one more layer in common. */
export async function startReuse(owner: Owner): Promise<Reuse> {
  const registry = await startRegistry(owner);
  const dind = await dindImage();
  const platform = dind.platform;
  await pushDind(registry, dind, 'library/docker:28.5.2-dind');
  const base = await makeLayer({ 'etc/base': noise(7, 200_000), 'bin/sh': 'none' });
  for (const [number, name] of [...Object.keys(IMAGES), 'extra'].entries()) {
    const middle = await makeLayer({ [`usr/${name}/middle`]: noise(100 + number, 100_000) });
    for (const version of ['1', '2']) {
      const top = { [`usr/${name}/top`]: noise(200 + number + 50 * Number(version), 60_000) };
      const image = await makeImage({ platform, layers: [base, middle, top] });
      await push(registry, `reuse/${name}:${version}`, image);
    }
  }
  const engine = await startEngine(owner, { holding: dind });
  const dir = temporaryTree(owner);
  const store = join(dir, 'store');
  let count = 0;
  const run = (args: readonly string[]): string[] => ['build', ...args, '-s', store];
  return {
    engine,
    store,
    variant: async (t, { images = {}, tags = {}, files = FILES } = {}) => {
      count += 1;
      const bundle = join(dir, `bundle-${count}.yaml`);
      const pins = join(dir, `pins-${count}.json`);
      const all: Readonly<Record<string, string | undefined>> = { ...IMAGES, ...images };
      const wanted = Object.entries(all).flatMap(([name, version]) =>
        version === undefined ? [] : [[name, version] as const],
      );
      const document = {
        stowage: 1,
        partition: { label: 'reuse' },
        engine: { version: '28.5.2', dind: `docker://${registry.host}/library/docker:28.5.2-dind` },
        images: Object.fromEntries(
          wanted.map(([name, version]) => {
            const from = `docker://${registry.host}/reuse/${name}:${version}`;
            return [name, { from, tags: [`reuse/${name}:now`, ...(tags[name] ?? [])] }];
          }),
        ),
        files: Object.fromEntries(Object.entries(files).map(([path, text]) => [path, { text }])),
      };
      writeFileSync(bundle, JSON.stringify(document));
      const args = ['-b', bundle, '-p', pins];
      const fetched = await runStowage(t, [
        ...['fetch', ...args, '-s', store, '--platform', platform],
      ]);
      assert.equal(fetched.code, 0, fetched.stderr);
      return args;
    },
    build: (t, args, options) => runStowage(t, run(args), { engine, ...options }),
    start: (t, args) => startStowage(t, run(args), { engine }),
  };
}

/** A faithful copy of a result, in a directory of its own: returns the image's path. */
export async function copyResult(t: TestContext, image: string): Promise<string> {
  const copy = join(temporaryTree(t), 'data.ext4');
  await must('cp', ['-a', '--sparse=always', image, copy]);
  // In an order that the file system's clock can tell.
  await sleep(20);
  await must('cp', ['-a', image.replace(/ext4$/, 'json'), copy.replace(/ext4$/, 'json')]);
  return copy;
}

/** What changes when a file is written, replaced or touched. */
export function stampOf(path: string): string {
  const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
