import assert from 'node:assert/strict';
import type { EngineStore } from '../../integration/engine-fixture.ts';
import type { DeviceEngine } from '../../rig/device-engine.ts';
import type { Owner } from '../../rig/owner.ts';
import type { Kept } from './kept.ts';
import { expected, kept, settled } from './kept.ts';
import type { Sample, Samples } from './samples.ts';

/** An engine that has booted on what somebody loaded, for as long as the checks last. */
export interface Subject {
  readonly owner: Owner;
  readonly device: DeviceEngine;
  readonly store: EngineStore;
  readonly samples: Samples;
  /** Of its own, for what it writes. */
  readonly directory: string;
  /** `samples.loaded` as `docker load` takes it. */
  readonly archive: string;
  /** The engine forgets to remove layers of what it exported, whoever loaded it: only blobs are counted. */
  readonly leaksExports: boolean;
  /** Where a registry has `samples.pulled`. */
  readonly registryStorage: string;
}

/** Runs docker against it, which has to succeed. */
export async function docker(
  { device }: Subject,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<string> {
  const { code, stdout, stderr } = await device.docker(args, env);
  assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** A container with neither network nor anything pulled, that is gone afterwards. */
export function runIn(subject: Subject, image: string, ...args: string[]): Promise<string> {
  return docker(subject, ['run', '--rm', '--pull=never', '--network=none', image, ...args]);
}

/** Waits until exactly what these images need is on the partition. */
export async function assertKept(
  subject: Subject,
  samples: readonly Sample[],
): Promise<Pick<Kept, 'blobs'>> {
  const { device, store, leaksExports } = subject;
  const wanted = expected(store, samples);
  if (leaksExports) {
    const { blobs, layers } = await kept(device.partition, store);
    assert.deepEqual(blobs, wanted.blobs);
    assert.deepEqual(
      wanted.layers.filter((layer) => !layers.includes(layer)),
      [],
    );
    return { blobs };
  }
  const now = await settled(device.partition, store, wanted);
  assert.deepEqual(now, wanted);
  return now;
}
