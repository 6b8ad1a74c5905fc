import { existsSync, statSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineFixture, EngineStore, Release } from '../../integration/engine-fixture.ts';
import { dindImage, type DindImage } from '../../rig/dind-image.ts';
import type { Owner } from '../../rig/owner.ts';
import { machinePlatform } from '../../rig/platform.ts';
import { must } from '../../rig/process.ts';
import { rounds } from '../../rig/skip.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

/** An engine that judges, and the stores that it can have. */
export interface Judge {
  readonly name: string;
  readonly stores: readonly EngineStore[];
  dind(fixture: EngineFixture, owner: Owner): Promise<DindImage>;
}

/** Those of Debian: the first in every run, the others in long ones. */
const RELEASES: readonly (readonly [Release, readonly EngineStore[]])[] = [
  ['28.5', ['containerd', 'overlay2']],
  ['26.1', ['containerd', 'overlay2']],
  ['20.10', ['overlay2']],
];

/** `make conformance ENGINE_IMAGE=…` names one instead. */
export function judges(): readonly Judge[] {
  const given = process.env['STOWAGE_TEST_ENGINE_IMAGE'] ?? '';
  if (given !== '')
    return [
      {
        name: given,
        stores: ['containerd', 'overlay2'],
        dind: (fixture, owner) => dindImageOf(given, fixture, owner),
      },
    ];
  return RELEASES.slice(0, rounds(1, RELEASES.length)).map(([release, stores]) => ({
    name: `Docker ${release}`,
    stores,
    dind: (fixture) => fixture.dind(release),
  }));
}

export interface Abilities {
  readonly zstd: boolean;
  readonly containerd: boolean;
  /** With overlay2 a container's layers stay when it was exported before it was removed. */
  readonly leaksExports: boolean;
}

/** Of a version like 28.5.2. */
export function abilitiesOf(version: string): Abilities {
  const major = Number(version.split('.')[0]);
  return { zstd: major >= 23, containerd: major >= 24, leaksExports: version.startsWith('26.1.') };
}

/**
 * A dind image as somebody has it, in the form of the rig's own: an OCI layout or archive, a docker archive, or a
 * reference in the local engine.
 */
async function dindImageOf(
  given: string,
  fixture: EngineFixture,
  owner: Owner,
): Promise<DindImage> {
  const layout = join(temporaryTree(owner), 'dind');
  const copy = ['--insecure-policy', 'copy', '--quiet', '--preserve-digests'];
  const source = await sourceOf(given);
  await must('skopeo', [...copy, source, `oci:${layout}:engine`], { deadline: 600_000 }).catch(
    // A docker archive's manifest is not of a kind that a layout keeps.
    () => must('skopeo', [...copy.slice(0, -1), source, `oci:${layout}:engine`]),
  );
  const blob = (digest: string): string => join(layout, 'blobs', 'sha256', digest.slice(7));
  const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
  const index = read(join(layout, 'index.json')) as {
    readonly manifests: readonly { readonly digest: string }[];
  };
  const [described] = index.manifests;
  if (described === undefined) throw new Error(`${given} has no image`);
  const manifest = read(blob(described.digest)) as {
    readonly config: { readonly digest: string };
    readonly layers: readonly { readonly digest: string }[];
  };
  const config = read(blob(manifest.config.digest)) as {
    readonly config?: { readonly Env?: readonly string[] };
  };
  const version = (config.config?.Env ?? [])
    .find((line) => line.startsWith('DOCKER_VERSION='))
    ?.slice('DOCKER_VERSION='.length);
  if (version === undefined) throw new Error(`${given} has no DOCKER_VERSION in its environment`);
  const name = `docker.io/library/docker:${version}-dind`;
  const annotations = {
    'org.opencontainers.image.ref.name': name,
    'io.containerd.image.name': name,
  };
  const json = (file: string, value: unknown): void => {
    writeFileSync(join(layout, file), JSON.stringify(value));
  };
  json('index.json', { schemaVersion: 2, manifests: [{ ...described, annotations }] });
  const at = (digest: string): string => `blobs/sha256/${digest.slice(7)}`;
  json('manifest.json', [
    {
      Config: at(manifest.config.digest),
      RepoTags: [name],
      Layers: manifest.layers.map(({ digest }) => at(digest)),
    },
  ]);
  const { busybox } = await dindImage();
  return fixture.adopt({ layout, name, version, platform: machinePlatform(), busybox });
}

async function sourceOf(given: string): Promise<string> {
  if (!existsSync(given)) return `docker-daemon:${given.includes(':') ? given : `${given}:latest`}`;
  if (statSync(given).isDirectory()) return `oci:${given}`;
  const members = (await must('tar', ['-tf', given])).split('\n');
  const isLayout = members.some((name) => name.replace(/^\.\//, '') === 'oci-layout');
  return `${isLayout ? 'oci-archive' : 'docker-archive'}:${given}`;
}
