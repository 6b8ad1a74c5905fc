import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startFixture } from '../integration/engine-fixture.ts';
import type { DeviceEngine } from '../rig/device-engine.ts';
import { offersDebian } from '../rig/dind-image.ts';
import { fileOwner } from '../rig/owner.ts';
import { machinePlatform } from '../rig/platform.ts';
import { push } from '../rig/publish.ts';
import { skip } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { writeArchive } from './loaders/archive.ts';
import { CHECKS } from './loaders/checks.ts';
import { abilitiesOf, judges } from './loaders/engines.ts';
import { bootEmpty, bootLoaded, fetchSamples, LOADERS } from './loaders/loaders.ts';
import { makeSamples } from './loaders/samples.ts';
import type { Subject } from './loaders/subject.ts';

/**
 * The conformance suite of all loaders: the same pins in, and the real engine as judge. A loader is a name in
 * `LOADERS`, an engine a line in `judges()`, what is asked of them a line in `CHECKS`. Each engine is booted on what
 * each loader made, and once on nothing to load the images itself; what it then says has to be the same.
 */
const owner = fileOwner();
const fixture = await startFixture(owner);
const debian = await offersDebian();

type Observed = ReadonlyMap<string, { readonly value: unknown } | { readonly error: Error }>;

/** All checks, also after one has failed: the engine is booted once. */
async function observe(subject: Subject): Promise<Observed> {
  const observed = new Map<string, { value: unknown } | { error: Error }>();
  for (const one of CHECKS)
    observed.set(
      one.name,
      await one.run(subject).then(
        (value) => ({ value }),
        (error: unknown) => ({ error: error instanceof Error ? error : new Error(String(error)) }),
      ),
    );
  return observed;
}

function valueOf(observed: Observed, check: string): unknown {
  const outcome = observed.get(check);
  if (outcome !== undefined && 'value' in outcome) return outcome.value;
  throw outcome?.error ?? new Error(`${check} was not tried`);
}

/** Tells what differs, and not all there is. */
function assertSame(actual: unknown, wanted: unknown): void {
  const [ours, theirs] = [linesOf(actual), linesOf(wanted)];
  const [here, there] = [new Set(ours), new Set(theirs)];
  assert.deepEqual(
    ours.filter((line) => !there.has(line)),
    theirs.filter((line) => !here.has(line)),
  );
}

/** Every value in a document, with the way to it; places in lists do not count. */
function linesOf(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => linesOf(one, `${at}/-`)).sort();
  if (typeof value !== 'object' || value === null) return [`${at} ${JSON.stringify(value)}`];
  return Object.entries(value).flatMap(([key, one]) => linesOf(one, `${at}/${key}`));
}

for (const judge of judges())
  for (const store of judge.stores)
    test(`${judge.name} with ${store}`, async (t) => {
      if (!debian && judge.name.startsWith('Docker ') && !judge.name.endsWith('28.5')) {
        skip(t, "Debian's packages");
        return;
      }
      const dind = await judge.dind(fixture, owner);
      const abilities = abilitiesOf(dind.version);
      if (store === 'containerd' && !abilities.containerd) {
        t.diagnostic(`Docker ${dind.version} has no such store`);
        return;
      }
      const samples = await makeSamples(machinePlatform(), dind.busybox, abilities);
      for (const { name, published } of [...samples.baked, samples.loaded, samples.pulled])
        await push(fixture.registry, `test/${name}:1`, published);
      const directory = temporaryTree(t);
      const archive = await writeArchive(directory, samples.loaded);
      const check = async (name: string, device: DeviceEngine): Promise<Observed> => {
        const own = join(directory, `by-${name}`);
        mkdirSync(own);
        const { storage } = fixture.registry;
        const leaksExports = abilities.leaksExports && store === 'overlay2';
        const common = {
          owner: t,
          store,
          samples,
          archive,
          registryStorage: storage,
          leaksExports,
        };
        const observed = await observe({ ...common, device, directory: own });
        await device.stop();
        return observed;
      };
      const inputs = { fixture, dind, store, samples };
      const pinned = await fetchSamples(t, inputs);
      const [judged, ...loaded] = await Promise.all([
        bootEmpty(t, inputs).then((device) => check('itself', device)),
        ...LOADERS.map(async (loader) =>
          check(loader, await bootLoaded(t, loader, inputs, pinned)),
        ),
      ]);
      for (const [i, loader] of ['the engine itself', ...LOADERS].entries())
        await t.test(loader, async (ofLoader) => {
          for (const { name } of CHECKS)
            await ofLoader.test(name, () => {
              const observed = valueOf([judged, ...loaded][i] ?? new Map(), name);
              assertSame(observed, valueOf(judged, name));
            });
        });
    });
