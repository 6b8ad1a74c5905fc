import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerdStore } from '../../../src/data-root/containerd-store.ts';
import {
  chainIds,
  containerdPaths,
  readContainerdStore,
} from '../../../src/data-root/containerd-store.ts';
import { LAYER_FILES, overlay2Paths } from '../../../src/data-root/overlay2-store.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { hexOf, parseDigest } from '../../../src/model/digest.ts';
import type { DeviceEngine } from '../../rig/device-engine.ts';
import { startDevice } from '../../rig/device-engine.ts';
import { dindImage } from '../../rig/dind-image.ts';
import { startEngine } from '../../rig/engine.ts';
import { digestOf, writeLayout } from '../../rig/image.ts';
import type { Owner } from '../../rig/owner.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';
import type { HostileCase } from './case.ts';
import { listDirectories } from './listing.ts';
import type { Outcome, StoreKind } from './outcome.ts';

const PATHS = containerdPaths('docker', 'daemon');
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** What a real dockerd with such a store makes of each case, loaded one after the other into the same engine. */
export async function loadIntoEngine(
  owner: Owner,
  store: StoreKind,
  cases: readonly HostileCase[],
  progress: (line: string) => void = () => undefined,
): Promise<{ readonly version: string; readonly outcomes: readonly Outcome[] }> {
  const dir = temporaryTree(owner);
  const empty = join(dir, 'empty.ext4');
  await must('truncate', ['-s', '64M', empty]);
  await must('mke2fs', ['-q', '-F', '-t', 'ext4', '-I', '256', '-b', '4096', empty]);
  const dind = await dindImage(progress);
  const outer = await startEngine(owner, { holding: dind });
  const grow = 2 * 1024 * 1024 * 1024;
  const device = await startDevice(owner, empty, { engine: outer, dind, grow, store });
  const since = Math.floor(Date.now() / 1000) - 1;
  const outcomes: Outcome[] = [];
  for (const hostile of cases) {
    const outcome = await load(device, store, hostile, join(dir, 'image'), since);
    progress(`${hostile.name}: ${'refused' in outcome ? outcome.refused : 'accepted'}`);
    outcomes.push(outcome);
  }
  const { version } = device;
  await device.stop();
  return { version, outcomes };
}

async function load(
  device: DeviceEngine,
  store: StoreKind,
  hostile: HostileCase,
  layout: string,
  since: number,
): Promise<Outcome> {
  const name = `docker.io/hostile/${hostile.name.replace(/[^a-z0-9]+/g, '-')}:1`;
  await must('rm', ['-rf', layout]);
  await writeImage(layout, store, hostile, name);
  const archive = `${layout}.tar`;
  await must('tar', ['-C', layout, '-cf', archive, '.']);
  const { code, stdout, stderr } = await device.docker(['load', '-i', archive]);
  if (code !== 0) return { refused: withoutChance(stderr + stdout) };
  const chain = chainIds(
    hostile.layers.map(({ diffId }) => {
      const digest = parseDigest(diffId);
      if (digest === undefined) throw new Error(`${diffId} is no digest`);
      return digest;
    }),
  );
  const directories =
    store === 'containerd'
      ? await snapshotsOf(chain, device.partition)
      : chain.map((chainId) => driverDirectory(chainId, device.partition));
  const found = directories.filter((directory) => directory !== undefined);
  // Where it can't unpack an image, the engine says so and keeps it packed.
  if (found.length < chain.length) return { refused: withoutChance(stderr + stdout) };
  return { layers: await listDirectories(found, since) };
}

async function snapshotsOf(
  chain: readonly Digest[],
  partition: string,
): Promise<(string | undefined)[]> {
  const store = await readStore(partition);
  return chain.map((chainId) => {
    const record = store.snapshots.get(chainId)?.record;
    const id = record === undefined ? undefined : store.records.get(record)?.id;
    return id === undefined ? undefined : join(partition, PATHS.snapshots, `${id}`, 'fs');
  });
}

function driverDirectory(chainId: Digest, partition: string): string | undefined {
  const { layers, driver } = overlay2Paths('docker');
  const file = join(partition, layers, hexOf(chainId), LAYER_FILES.cacheId);
  if (!existsSync(file)) return undefined;
  return join(partition, driver, readFileSync(file, 'utf8'), 'diff');
}

async function writeImage(
  layout: string,
  store: StoreKind,
  hostile: HostileCase,
  name: string,
): Promise<void> {
  const blobs = new Map<string, Uint8Array>();
  const add = (
    mediaType: string,
    blob: Uint8Array,
  ): { mediaType: string; digest: string; size: number } => {
    blobs.set(digestOf(blob), blob);
    return { mediaType, digest: digestOf(blob), size: blob.length };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const layers = hostile.layers.map(({ mediaType, blob }) => add(mediaType, blob));
  const config = add(
    CONFIG_TYPE,
    json({
      ...{ os: 'linux', architecture: 'amd64', config: { Labels: { case: hostile.name } } },
      rootfs: { type: 'layers', diff_ids: hostile.layers.map(({ diffId }) => diffId) },
    }),
  );
  const manifest = json({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers });
  const descriptor = add(MANIFEST_TYPE, manifest);
  await writeLayout(layout, { descriptor, blobs }, name);
  const annotations = { 'io.containerd.image.name': name };
  const index = { schemaVersion: 2, manifests: [{ ...descriptor, annotations }] };
  await writeFile(join(layout, 'index.json'), JSON.stringify(index));
  if (store === 'containerd') return;
  const path = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
  const image = {
    ...{ Config: path(config.digest), RepoTags: [name] },
    Layers: layers.map(({ digest }) => path(digest)),
  };
  await writeFile(join(layout, 'manifest.json'), JSON.stringify([image]));
}

/** The engine may be writing just now. */
async function readStore(partition: string): Promise<ContainerdStore> {
  for (let attempt = 0; ; attempt += 1) {
    const read = readContainerdStore(
      readFileSync(join(partition, PATHS.metaDb)),
      readFileSync(join(partition, PATHS.snapshotsDb)),
    );
    if (read.ok) return read.value;
    if (attempt === 20) throw new Error(JSON.stringify(read.failure));
    await sleep(100);
  }
}

/** What it failed on: as it will be the next time too. */
function withoutChance(message: string): string {
  return message
    .replace(/^Loaded image: .*$/gm, '')
    .trim()
    .replace(/sha256:[0-9a-f]{64}/g, '<digest>')
    .replace(/[0-9a-f]{64}/g, '<digest>')
    .replace(/\/[^ :"]*\/containerd-mount\d+/g, '<root>')
    .replace(/\/[^ :"]*\/snapshots\/\d+\/fs/g, '<root>')
    .replace(/\/[^ :"]*\/tmpmounts/g, '<mounts>')
    .replace(/^Error unpacking image .*?: apply layer error for ".*?": /, '')
    .replace(/^failed to extract layer <digest>: /, '')
    .replace(/^mount callback failed on <root>: /, '')
    .replace(/\/[^ :"]*\/overlay2\/<digest>\/diff/g, '<root>')
    .replace(/p{200}(\/p{1,200})+/g, '<path>');
}
