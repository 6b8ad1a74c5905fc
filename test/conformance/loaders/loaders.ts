import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { EngineFixture, EngineStore } from '../../integration/engine-fixture.ts';
import type { DindImage } from '../../rig/dind-image.ts';
import type { DeviceEngine } from '../../rig/device-engine.ts';
import { startDevice } from '../../rig/device-engine.ts';
import { must } from '../../rig/process.ts';
import { runStowage } from '../../rig/stowage.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';
import { writeArchive } from './archive.ts';
import type { Samples } from './samples.ts';

/** Loaders of the engine docker, as `--loader` names them. */
export const LOADERS = ['dind', 'direct'] as const;
export type LoaderName = (typeof LOADERS)[number];

export interface Inputs {
  readonly fixture: EngineFixture;
  readonly dind: DindImage;
  readonly store: EngineStore;
  readonly samples: Samples;
}

/** Pins and fetches the samples, and gives what `build` and `verify` want to know. */
export async function fetchSamples(
  t: TestContext,
  { fixture, dind, store, samples }: Inputs,
): Promise<{ readonly inputs: readonly string[]; readonly pins: string }> {
  const directory = temporaryTree(t);
  const bundle = join(directory, 'bundle.yaml');
  const lines = samples.baked.map(({ name, names }) => {
    const tags = names.slice(1).map((tag) => `'${tag}'`);
    return `  ${name}: { from: 'docker://registry.example.org/test/${name}:1', tags: [${tags.join(', ')}] }`;
  });
  writeFileSync(
    bundle,
    `stowage: 1
engine:
  store: ${store}
  version: '${dind.version}'
  dind: docker://registry.example.org/library/docker:${dind.version}-dind
images:
${lines.join('\n')}
`,
  );
  const pins = join(directory, 'pins.json');
  const inputs = ['-b', bundle, '-p', pins, '-s', join(directory, 'store')];
  const fetched = await runStowage(t, [
    ...['fetch', ...inputs, '--platform', dind.platform, '--mirror', fixture.registry.host],
  ]);
  assert.equal(fetched.code, 0, fetched.stderr);
  return { inputs, pins };
}

/** Boots the engine on what a loader makes of the samples. */
export async function bootLoaded(
  t: TestContext,
  loader: LoaderName,
  { fixture, dind, store }: Inputs,
  { inputs, pins }: { readonly inputs: readonly string[]; readonly pins: string },
): Promise<DeviceEngine> {
  const output = join(temporaryTree(t), 'data.ext4');
  const { engine } = fixture;
  const args = ['build', ...inputs, '--loader', loader, '--no-share', '-o', output];
  const built = await runStowage(t, args, { engine });
  assert.equal(built.code, 0, built.stderr);
  const verified = await runStowage(t, ['verify', output, '-p', pins]);
  assert.equal(verified.code, 0, verified.stderr);
  return startDevice(t, output, { engine, dind, store });
}

/** Boots it on nothing, and has it load the samples itself: what all loaders are compared with. */
export async function bootEmpty(
  t: TestContext,
  { fixture, dind, store, samples }: Inputs,
): Promise<DeviceEngine> {
  const directory = temporaryTree(t);
  const empty = join(directory, 'empty.ext4');
  await must('truncate', ['-s', '64M', empty]);
  await must('mke2fs', ['-q', '-F', '-t', 'ext4', '-I', '256', '-b', '4096', empty]);
  const device = await startDevice(t, empty, { engine: fixture.engine, dind, store });
  for (const sample of samples.baked) {
    const archive = await writeArchive(directory, sample);
    const { code, stdout, stderr } = await device.docker(['load', '-i', archive]);
    assert.equal(code, 0, stderr + stdout);
  }
  return device;
}
