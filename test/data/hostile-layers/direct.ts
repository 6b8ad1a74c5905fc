import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chainIds } from '../../../src/data-root/containerd-store.ts';
import { createImage } from '../../../src/ext4/create-image.ts';
import type { ImageReader } from '../../../src/ext4/reader/image-reader.ts';
import { openImage } from '../../../src/ext4/reader/open-image.ts';
import type { Walked } from '../../../src/ext4/reader/walk.ts';
import { containerdStorage, overlay2Storage } from '../../../src/load/direct/engine-storage.ts';
import { planContent } from '../../../src/load/direct/plan-content.ts';
import { writeDataRoot } from '../../../src/load/direct/write-data-root.ts';
import type { BuildRequest } from '../../../src/load/loader.ts';
import { digestOf, parseDigest } from '../../../src/model/digest.ts';
import type { Digest } from '../../../src/model/digest.ts';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import type { ImagePin, TargetPins } from '../../../src/model/pins.ts';
import type { Result } from '../../../src/model/result.ts';
import type { Store } from '../../../src/store/store.ts';
import { createStore } from '../../../src/store/store.ts';
import type { HostileCase } from './case.ts';
import type { Listed } from './listing.ts';
import { formatListing } from './listing.ts';
import type { Outcome, StoreKind } from './outcome.ts';

/** What the loader is told to give to all that has no time of its own: no case has it. */
const NOW = 1_234_567_890;
/** Where the files of a layer are, whichever store it is. */
const IN_LAYER = /^docker\/(?:.*\/snapshots\/\d+\/fs|overlay2\/[0-9a-f]{64}\/diff)(?=\/|$)/;

/**
 * What the direct loader makes of each case. Those that do not fail are written as one data image; `together` are
 * tried so at first, the others one by one.
 */
export async function writeDirectly(
  directory: string,
  kind: StoreKind,
  cases: readonly HostileCase[],
  together: (hostile: HostileCase) => boolean,
): Promise<ReadonlyMap<string, Outcome>> {
  const store = valueOf(await createStore(join(directory, 'store')));
  const pins = new Map<string, ImagePin>();
  for (const hostile of cases) pins.set(hostile.name, await pinCase(hostile, store));
  const outcomes = new Map<string, Outcome>();
  let rest = cases.filter(together);
  while (rest.length > 0) {
    const written = await writeCases(directory, kind, rest, pins, store);
    if (!('image' in written)) {
      for (const [name, outcome] of written) outcomes.set(name, outcome);
      break;
    }
    // One that fails is found out by its name, and the others are tried again.
    outcomes.set(written.image, { refused: written.detail });
    rest = rest.filter(({ name }) => name !== written.image);
  }
  for (const hostile of cases.filter((one) => !together(one))) {
    const written = await writeCases(directory, kind, [hostile], pins, store);
    if ('image' in written) outcomes.set(hostile.name, { refused: written.detail });
    else for (const [name, outcome] of written) outcomes.set(name, outcome);
  }
  return outcomes;
}

async function pinCase(hostile: HostileCase, store: Store): Promise<ImagePin> {
  const put = async (bytes: Uint8Array, mediaType: string): Promise<Descriptor> => {
    const digest = digestOf(bytes);
    await writeFile(store.blobPath(digest), bytes);
    return { digest, size: bytes.length, mediaType };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const layers: Descriptor[] = [];
  for (const { blob, mediaType } of hostile.layers) layers.push(await put(blob, mediaType));
  const config = await put(
    json({
      ...{ os: 'linux', architecture: 'amd64', config: { Labels: { case: hostile.name } } },
      rootfs: { type: 'layers', diff_ids: hostile.layers.map(({ diffId }) => diffId) },
    }),
    'application/vnd.oci.image.config.v1+json',
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await put(json({ schemaVersion: 2, mediaType, config, layers }), mediaType);
  const name = `hostile.example.org/${hostile.name}:1`;
  const reference = `${name}@${manifest.digest}`;
  return { reference, manifest, config, layers, platform: 'linux/amd64', names: [name] };
}

interface Refused {
  readonly image: string;
  readonly detail: string;
}

async function writeCases(
  directory: string,
  kind: StoreKind,
  cases: readonly HostileCase[],
  allPins: ReadonlyMap<string, ImagePin>,
  store: Store,
): Promise<ReadonlyMap<string, Outcome> | Refused> {
  const images = Object.fromEntries(
    cases.flatMap(({ name }) => {
      const pin = allPins.get(name);
      return pin === undefined ? [] : [[name, pin]];
    }),
  );
  const pins: TargetPins = { target: { platform: 'linux/amd64', set: {} }, images, files: {} };
  const content = valueOf(await planContent(pins, store));
  const storage =
    kind === 'overlay2'
      ? overlay2Storage(content, 'docker')
      : containerdStorage(content, {
          ...{ dataRoot: 'docker', layout: 'daemon', version: 4, unpack: true, epoch: NOW },
        });
  const image = join(directory, 'data.ext4');
  const uuid = '01234567-89ab-4def-8123-456789abcdef';
  const written = await writeDataRoot(
    {
      // All that is asked of a request here.
      request: { store, pins, wanted: { files: {} } } as unknown as BuildRequest,
      ...{ content, storage, epoch: NOW },
    },
    () => createImage(image, { uuid, hashSeed: uuid, epoch: NOW }),
    { signal: new AbortController().signal, report: () => undefined },
  );
  if (!written.ok) {
    const { failure } = written;
    const [only] = cases;
    if (failure.reason === 'layer-bad')
      return { image: failure.image, detail: `layer-bad: ${failure.detail}` };
    if (cases.length === 1 && only !== undefined)
      return { image: only.name, detail: `${failure.reason}: ${JSON.stringify(failure)}` };
    throw new Error(JSON.stringify(failure));
  }
  const reader = valueOf(await openImage(image));
  const listings = await listLayers(reader);
  await reader.close();
  rmSync(image);
  const roots = new Map(content.layers.map((layer) => [layer.chainId, storage.rootOf(layer)]));
  return new Map(
    cases.map(({ name, layers }) => [
      name,
      {
        layers: chainIds(layers.map(({ diffId }) => digestIn(diffId))).map((chainId) =>
          formatListing(listings.get(roots.get(chainId) ?? '') ?? []),
        ),
      },
    ]),
  );
}

/** What is in each layer, by its root. */
async function listLayers(reader: ImageReader): Promise<Map<string, Listed[]>> {
  const found = new Map<string, Listed[]>();
  const first = new Map<number, Listed>();
  for await (const walked of reader.walk()) {
    const { entry, inode } = valueOf(walked);
    const path = Buffer.from(entry.path).toString('latin1');
    const [root] = IN_LAYER.exec(path) ?? [];
    if (root === undefined) continue;
    const known = first.get(inode.number);
    const listed = known ?? (await listedOf(reader, valueOf(walked)));
    first.set(inode.number, listed);
    const list = found.get(root) ?? [];
    found.set(root, list);
    list.push({ ...listed, path: path.slice(root.length + 1) });
  }
  return found;
}

async function listedOf(reader: ImageReader, { entry, inode }: Walked): Promise<Listed> {
  if (entry.type === 'hard link') throw new Error('a hard link before its file');
  const { type, mode, uid, gid, mtime, size, device } = inode;
  let sha256: string | undefined;
  if (type === 'file') {
    const hash = createHash('sha256');
    for await (const piece of reader.readFile(inode)) hash.update(valueOf(piece));
    sha256 = hash.digest('hex');
  }
  return {
    ...{ path: '', type, mode, uid, gid, size, ...device },
    ...(mtime.seconds === NOW ? {} : { mtime }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(entry.type === 'symlink' ? { target: Buffer.from(entry.target).toString('latin1') } : {}),
    ...(type === 'directory' ? {} : { inode: inode.number }),
    xattrs: entry.xattrs ?? new Map<string, Uint8Array>(),
  };
}

function digestIn(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw new Error(`${text} is no digest`);
  return digest;
}

function valueOf<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.failure));
  return result.value;
}
