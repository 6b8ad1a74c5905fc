import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createImage } from '../../../../src/ext4/create-image.ts';
import { containerdStorage, overlay2Storage } from '../../../../src/load/direct/engine-storage.ts';
import { planContent } from '../../../../src/load/direct/plan-content.ts';
import { writeDataRoot } from '../../../../src/load/direct/write-data-root.ts';
import type { BuildRequest } from '../../../../src/load/loader.ts';
import type { Descriptor } from '../../../../src/model/descriptor.ts';
import { digestOf } from '../../../../src/model/digest.ts';
import type { Event } from '../../../../src/model/event.ts';
import type { TargetPins } from '../../../../src/model/pins.ts';
import type { Result } from '../../../../src/model/result.ts';
import type { Store } from '../../../../src/store/store.ts';
import { createStore } from '../../../../src/store/store.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

export interface GivenLayer {
  readonly blob: Uint8Array;
  readonly diffId: string;
}

export interface Given {
  readonly directory: string;
  readonly store: Store;
  readonly pins: TargetPins;
}

/** A store with images of these layers and their pins: by name, `created` where the config is to say so. */
export async function givenImages(
  t: TestContext,
  images: Readonly<Record<string, readonly GivenLayer[]>>,
  created?: string,
): Promise<Given> {
  const directory = temporaryTree(t);
  const made = await createStore(join(directory, 'store'));
  if (!made.ok) throw new Error(JSON.stringify(made.failure));
  const store = made.value;
  const put = (bytes: Uint8Array, kind: string): Descriptor => {
    const digest = digestOf(bytes);
    writeFileSync(store.blobPath(digest), bytes);
    return { digest, size: bytes.length, mediaType: `application/vnd.oci.image.${kind}` };
  };
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const pins: [string, TargetPins['images'][string]][] = [];
  for (const [name, given] of Object.entries(images)) {
    const layers = given.map(({ blob }) => put(blob, 'layer.v1.tar'));
    const rootfs = { type: 'layers', diff_ids: given.map(({ diffId }) => diffId) };
    const config = put(
      json({ os: 'linux', architecture: 'amd64', created, rootfs }),
      'config.v1+json',
    );
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = put(json({ schemaVersion: 2, mediaType, config, layers }), 'manifest.v1+json');
    const names = [`direct.example.org/${name}:1`];
    const reference = `direct.example.org/${name}:1@${manifest.digest}`;
    pins.push([name, { reference, manifest, config, layers, platform: 'linux/amd64', names }]);
  }
  const target = { platform: 'linux/amd64', set: {} };
  return { directory, store, pins: { target, images: Object.fromEntries(pins), files: {} } };
}

export interface WrittenImage {
  readonly image: string;
  readonly result: Result<void>;
  readonly events: readonly Event[];
}

/** The data image of all of them. */
export async function writeImage(
  { directory, store, pins }: Given,
  kind: 'containerd' | 'overlay2' | 'packed',
): Promise<WrittenImage> {
  const content = await planContent(pins, store);
  if (!content.ok) throw new Error(JSON.stringify(content.failure));
  const epoch = 1_700_000_000;
  const unpack = kind !== 'packed';
  const storage =
    kind === 'overlay2'
      ? overlay2Storage(content.value, 'docker')
      : containerdStorage(content.value, {
          ...{ dataRoot: 'docker', layout: 'daemon', version: 4, unpack, epoch },
        });
  const image = join(directory, `${kind}.ext4`);
  const uuid = '01234567-89ab-4def-8123-456789abcdef';
  const events: Event[] = [];
  const result = await writeDataRoot(
    {
      // All that is asked of a request here.
      request: { store, pins, wanted: { files: {} } } as unknown as BuildRequest,
      ...{ content: content.value, storage, epoch },
    },
    () => createImage(image, { uuid, hashSeed: uuid, epoch }),
    { signal: new AbortController().signal, report: (event) => void events.push(event) },
  );
  return { image, result, events };
}
