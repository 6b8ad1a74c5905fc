import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { dindImage, DIND_SUITES, offersDebian, type DindImage } from '../rig/dind-image.ts';
import { startEngine, type OuterEngine } from '../rig/engine.ts';
import {
  digestOf,
  makeImage,
  makeIndex,
  makeLayer,
  noise,
  type Content,
  type Image,
} from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import type { Outcome } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** By the version that Debian has. */
export type Release = keyof typeof DIND_SUITES;
export type EngineStore = 'containerd' | 'overlay2';

/** A registry, a builder's engine, and engines of several versions to fill data roots with. */
export interface EngineFixture {
  readonly registry: Registry;
  readonly engine: OuterEngine;
  /** What was fetched for one build is there for the next. */
  readonly store: string;
  /** Made, published and handed to the builder's engine when first asked for. */
  dind(release: Release): Promise<DindImage>;
  /** Publishes an engine's image, and hands it to the builder's engine. */
  adopt(dind: DindImage): Promise<DindImage>;
  /** Publishes content as `test/NAME:1` and gives the reference of bundles. */
  publish(name: string, content: Content): Promise<string>;
}

export async function startFixture(owner: Owner): Promise<EngineFixture> {
  const registry = await startRegistry(owner);
  const engine = await startEngine(owner, { holding: await dindImage() });
  const dinds = new Map<Release, Promise<DindImage>>();
  const adopt = async (dind: DindImage): Promise<DindImage> => {
    await pushDind(registry, dind);
    await engine.load(dind);
    return dind;
  };
  const make = async (release: Release): Promise<DindImage> => {
    const suite = (await offersDebian()) ? { suite: DIND_SUITES[release] } : {};
    return adopt(await dindImage(undefined, suite));
  };
  return {
    registry,
    engine,
    store: join(temporaryTree(owner), 'store'),
    adopt,
    dind: (release) => {
      const known = dinds.get(release) ?? make(release);
      dinds.set(release, known);
      return known;
    },
    publish: async (name, content) => {
      await push(registry, `test/${name}:1`, content);
      return `docker://registry.example.org/test/${name}:1`;
    },
  };
}

/** What a test builds: the rest of the bundle is always the same. */
export interface Build {
  readonly dind: DindImage;
  readonly store: EngineStore;
  readonly platform: string;
  /** Names in the bundle to what is there. */
  readonly images: Readonly<Record<string, string>>;
  readonly keepIndex?: boolean;
  /** Further lines of `engine:`. */
  readonly engine?: readonly string[];
  /** Instead of the dind image's own. */
  readonly version?: string;
  readonly dindName?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface BuildOutcome extends Outcome {
  readonly output: string;
  readonly pins: string;
  readonly store: string;
  readonly bundle: string;
}

/** pin, fetch and build in a directory of its own, from the fixture's store; ends where one of them fails. */
export async function buildWith(
  t: TestContext,
  fixture: EngineFixture,
  build: Build,
  args: readonly string[] = [],
): Promise<BuildOutcome> {
  const dir = temporaryTree(t);
  const bundle = join(dir, 'bundle.yaml');
  const name = build.dindName ?? `library/docker:${build.dind.version}-dind`;
  writeFileSync(
    bundle,
    [
      'stowage: 1',
      'engine:',
      `  store: ${build.store}`,
      `  dind: docker://registry.example.org/${name}`,
      ...(build.engine ?? []).map((line) => `  ${line}`),
      'images:',
      ...Object.entries(build.images).map(
        ([key, from]) => `  ${key}: { from: '${from}', keepIndex: ${build.keepIndex ?? false} }`,
      ),
      '',
    ].join('\n'),
  );
  const pins = join(dir, 'pins.json');
  const { store } = fixture;
  const output = join(dir, 'data.ext4');
  const files = { output, pins, store, bundle };
  const mirror = ['--mirror', fixture.registry.host];
  const { env } = build;
  const version = build.version ?? build.dind.version;
  const target = ['--platform', build.platform, '--engine-version', version];
  const common = ['-b', bundle, '-p', pins, ...target];
  const pinned = await runStowage(t, ['pin', ...common, ...mirror]);
  if (pinned.code !== 0) return { ...pinned, ...files };
  const fetched = await runStowage(t, ['fetch', ...common, '-s', store, ...mirror]);
  if (fetched.code !== 0) return { ...fetched, ...files };
  const built = await runStowage(t, ['build', ...common, '-s', store, '-o', output, ...args], {
    engine: fixture.engine,
    ...(env === undefined ? {} : { env }),
  });
  return { ...built, ...files };
}

/** Three layers, the second of which takes away of the first, with a file that says for whom it is. */
export function threeLayers(platform: string): Promise<Image> {
  return makeImage({
    platform,
    layers: [
      { 'etc/base': noise(platform.length, 100_000), 'etc/gone': 'gone', 'etc/platform': platform },
      { 'etc/.wh.gone': '', 'opt/': { type: 'directory', mode: 0o750, uid: 7, gid: 8 } },
      { 'opt/app': { content: `app for ${platform}`, mode: 0o755 } },
    ],
  });
}

/** The same image for every platform, as one index. */
export async function manyPlatforms(platforms: readonly string[]): Promise<Content> {
  const images: Record<string, Image> = {};
  for (const platform of platforms) images[platform] = await threeLayers(platform);
  return makeIndex(images);
}

/** An image of so many layers of one file each. */
export async function layered(platform: string, count: number): Promise<Image> {
  const layers = [];
  for (let i = 0; i < count; i++) layers.push(await makeLayer({ [`layer-${i}`]: `${i}` }));
  return makeImage({ platform, layers });
}

/** The image with its layers packed by zstd: other digests, the same diff IDs. */
export function withZstd(image: Image, plain: readonly Uint8Array[]): Content {
  const blobs = new Map<string, Uint8Array>();
  const config = image.blobs.get(image.config.digest);
  if (config === undefined) throw new Error('an image without its config');
  blobs.set(image.config.digest, config);
  const layers = plain.map((bytes) => {
    const blob = execFileSync('zstd', ['-q', '-c'], { input: bytes });
    const digest = digestOf(blob);
    blobs.set(digest, blob);
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd';
    return { mediaType, digest, size: blob.length };
  });
  const { mediaType } = image.descriptor;
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config: image.config, layers }),
  );
  const digest = digestOf(manifest);
  blobs.set(digest, manifest);
  return { descriptor: { mediaType, digest, size: manifest.length }, blobs };
}
