import type { Descriptor } from '../model/descriptor.ts';
import type { Context } from '../model/event.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { otherDatabases, readPackages } from '../packages/package-databases.ts';
import type { Store } from '../store/store.ts';
import { readBlob } from '../store/store.ts';
import { RPM_KEY } from '../packages/rpm-packages.ts';
import { mergeLayers } from '../trees/merged-tree.ts';
import { Stopped, untilStopped } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { displayName } from '../trees/tree-node.ts';
import type { DescribedImage } from './described-image.ts';
import { readDistribution } from './distribution.ts';
import { readLabels } from './labels.ts';
import { readLayer } from './read-layer.ts';

/**
 * The images of all targets with what is in them, sorted by name; one that several targets have comes once. Every blob
 * is hashed, each layer is read once. Fails with `blob-bad` and `layer-bad`, and reports what could not be read.
 */
export async function describeImages(
  targets: readonly TargetPins[],
  store: Store,
  context: Context,
): Promise<Result<readonly DescribedImage[]>> {
  const wanted = distinct(targets);
  const layers = new Layers(wanted, store, context);
  return untilStopped(async () => {
    const described: DescribedImage[] = [];
    for (const { name, pin, targets: keys } of wanted)
      described.push(await describe(name, pin, keys, { store, layers, context }));
    return described;
  });
}

interface Wanted {
  readonly name: string;
  readonly pin: ImagePin;
  readonly targets: string[];
}

function distinct(targets: readonly TargetPins[]): readonly Wanted[] {
  const wanted = new Map<string, Wanted>();
  for (const { target, images } of targets)
    for (const [name, pin] of Object.entries(images)) {
      const key = [name, pin.reference, pin.manifest.digest].join('\0');
      const known = wanted.get(key);
      if (known === undefined) wanted.set(key, { name, pin, targets: [targetKey(target)] });
      else known.targets.push(targetKey(target));
    }
  return [...wanted].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, image]) => image);
}

interface Source {
  readonly store: Store;
  readonly layers: Layers;
  readonly context: Context;
}

async function describe(
  name: string,
  pin: ImagePin,
  targets: readonly string[],
  { store, layers, context }: Source,
): Promise<DescribedImage> {
  const [manifest, config] = [pin.manifest, pin.config].map((part) => readBlob(store, part, name));
  const [annotated, configured] = [need(await manifest), need(await config)];
  context.report({ type: 'step', step: 'read image', detail: name });
  const root = await mergeLayers(await layers.of(name, pin));
  const databases = await readPackages(root);
  const unread = [
    ...[...databases.unread].map(
      ([path, { manager }]) => `${displayName(path)}: a database of ${manager} that can't be read`,
    ),
    ...(await otherDatabases(root)),
  ];
  for (const detail of unread) context.report({ type: 'warning', about: name, detail });
  layers.done(pin);
  return {
    ...{ name, pin, targets: [...targets].sort(), unread },
    ...readLabels(annotated, configured),
    distribution: await readDistribution(root),
    // Keys that users have imported are none.
    packages: [...databases.read.values()].flat().filter(({ name }) => name !== RPM_KEY),
  };
}

function need(result: Result<Buffer> | undefined): Buffer {
  if (result?.ok === true) return result.value;
  throw result === undefined ? new Error('nothing was read') : new Stopped(result.failure);
}

/** Images share layers: each is read once, and forgotten when the last image that has it is done. */
class Layers {
  readonly #uses = new Map<string, number>();
  readonly #known = new Map<string, TreeNode>();
  readonly #store: Store;
  readonly #context: Context;

  constructor(images: readonly Wanted[], store: Store, context: Context) {
    this.#store = store;
    this.#context = context;
    for (const { pin } of images)
      for (const key of pin.layers.map(keyAt)) this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
  }

  /** From the base up. */
  async of(image: string, { layers }: ImagePin): Promise<TreeNode[]> {
    const roots: TreeNode[] = [];
    for (const [i, layer] of layers.entries()) {
      const key = keyAt(layer, i);
      const options = { image, isBase: i === 0 };
      const known =
        this.#known.get(key) ??
        (await readLayer(this.#store, layer, options, this.#context.signal));
      this.#known.set(key, known);
      roots.push(known);
    }
    return roots;
  }

  done({ layers }: ImagePin): void {
    for (const key of layers.map(keyAt)) {
      const left = (this.#uses.get(key) ?? 0) - 1;
      this.#uses.set(key, left);
      if (left <= 0) this.#known.delete(key);
    }
  }
}

/** A base is unpacked otherwise than what lies on something. */
function keyAt({ digest }: Descriptor, at: number): string {
  return `${at === 0 ? 'base ' : ''}${digest}`;
}
