import type { Engine, EngineStore } from '../model/bundle.ts';
import type { EngineProblem } from '../model/failure.ts';
import { layerCompression } from '../model/media-types.ts';
import type { ImagePin } from '../model/pins.ts';

/**
 * What Docker engines can hold, by version: from moby's release notes and sources, and measured where `tested`.
 * docs/engines.md is the table for people.
 */
export interface EngineProfile {
  /** As the engine itself says it: `28.5.2`, `20.10.24+dfsg1`. */
  readonly version: string;
  /** `tested`: by this project's own tests; `documented`: by what is written about it; `unknown`: newer than that. */
  readonly knowledge: 'tested' | 'documented' | 'unknown';
  readonly stores: readonly EngineStore[];
  /** Unpacks zstd layers: Docker 23.0 (moby#41759). */
  readonly zstd: boolean;
  /**
   * The schema of meta.db that its containerd takes: 3 of containerd 1.x, 4 of 2.x, which migrates a 3 as it starts.
   * Docker's own packages have 2.x since Docker 29.
   */
  readonly containerdSchema: 3 | 4;
}

/**
 * Layers of one image. Of a graph driver's image moby refuses more (layer/layer_store.go, maxLayerDepth), whatever
 * overlay2 itself could do; of containerd's snapshots Linux mounts no more (fs/overlayfs, OVL_MAX_STACK is 500, of
 * which the container's own first layer is one).
 */
export const MOST_LAYERS: Readonly<Record<EngineStore, number>> = {
  containerd: 499,
  overlay2: 125,
};

/** Minor versions that Debian has, and that the tests therefore run. */
const TESTED: readonly string[] = ['20.10', '26.1', '28.5'];

const OLDEST = [20, 10] as const;
const NEWEST_DOCUMENTED = 29;

/** Undefined for an engine older than 20.10, or a text that is no version. */
export function profileOf(version: string): EngineProfile | undefined {
  const [major, minor = 0] = numbersOf(version);
  if (major === undefined) return undefined;
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) return undefined;
  return {
    version,
    knowledge: TESTED.includes(`${major}.${minor}`)
      ? 'tested'
      : major <= NEWEST_DOCUMENTED
        ? 'documented'
        : 'unknown',
    stores: major >= 24 ? ['containerd', 'overlay2'] : ['overlay2'],
    zstd: major >= 23,
    containerdSchema: major >= 29 ? 4 : 3,
  };
}

/** Whether an engine that says `actual` is the `wanted` one: `28.5` and `28.5.2` are both 28.5.2+dfsg4. */
export function isVersion(actual: string, wanted: string): boolean {
  const has = numbersOf(actual);
  const asked = numbersOf(wanted);
  return asked.length > 0 && asked.every((number, i) => has[i] === number);
}

/** Everything that this engine can't do of what is asked, before anything is built. */
export function engineProblems(
  profile: EngineProfile,
  engine: Pick<Engine, 'store' | 'unpack' | 'containerd'>,
  images: Readonly<Record<string, ImagePin>>,
): readonly EngineProblem[] {
  const { store, unpack } = engine;
  const problems: EngineProblem[] = [];
  if (!profile.stores.includes(store))
    problems.push({
      what: 'engine.store',
      detail: `it has no ${store} store, which came with Docker 24.0`,
      remedy: `engine.store: ${profile.stores.join(' or ')}, or a newer engine.version`,
    });
  if (!unpack && store === 'overlay2')
    problems.push({
      what: 'engine.unpack',
      detail: 'overlay2 keeps no packed layers that the device could unpack later',
      remedy: 'engine.unpack: true, or engine.store: containerd',
    });
  if (engine.containerd === 'own' && store === 'overlay2')
    problems.push({
      what: 'engine.containerd',
      detail: 'overlay2 is the store of dockerd itself, whoever starts containerd',
      remedy: 'engine.containerd: daemon, or engine.store: containerd',
    });
  for (const [name, image] of Object.entries(images))
    problems.push(...imageProblems(name, image, profile, store));
  return problems;
}

function* imageProblems(
  name: string,
  image: ImagePin,
  profile: EngineProfile,
  store: EngineStore,
): Iterable<EngineProblem> {
  const what = `image ${name}`;
  // Of pins derived from an image alone nobody knows the platform.
  if (image.platform !== '' && !image.platform.startsWith('linux/'))
    yield {
      what,
      detail: `it is for ${image.platform}, and its engine runs on Linux`,
      remedy: 'another image, or --platform',
    };
  if (image.keptIndex !== undefined && store === 'overlay2')
    yield {
      what,
      detail: 'overlay2 has no place for its index, which keepIndex asks for',
      remedy: 'no keepIndex, or engine.store: containerd',
    };
  const most = MOST_LAYERS[store];
  if (image.layers.length > most)
    yield {
      what,
      detail: `it has ${image.layers.length} layers, and ${store} takes ${most}`,
      remedy:
        store === 'overlay2' && image.layers.length <= MOST_LAYERS.containerd
          ? 'engine.store: containerd, or fewer layers (`docker build --squash`, one RUN for several)'
          : 'an image of fewer layers',
    };
  const types = new Set(image.layers.map((layer) => layer.mediaType));
  for (const type of types) {
    const compression = layerCompression(type);
    if (compression === undefined)
      yield {
        what,
        detail: `it has layers of the media type ${type}, which no engine unpacks`,
        remedy: 'an image of tar, tar+gzip or tar+zstd layers',
      };
    else if (compression === 'zstd' && !profile.zstd)
      yield {
        what,
        detail: 'it has zstd layers, which Docker unpacks since 23.0',
        remedy:
          'gzip layers (`skopeo copy --dest-compress-format gzip`), or a newer engine.version',
      };
  }
}

function numbersOf(version: string): readonly number[] {
  const numbers = /^v?(\d+(?:\.\d+)*)/.exec(version)?.[1];
  return numbers === undefined ? [] : numbers.split('.').map(Number);
}
