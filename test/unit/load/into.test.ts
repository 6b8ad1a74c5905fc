import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, it } from 'node:test';
import { containerdPaths } from '../../../src/data-root/containerd-store.ts';
import { readExisting } from '../../../src/load/existing.ts';
import { buildInto } from '../../../src/load/into.ts';
import type { BuildRequest, Loader } from '../../../src/load/loader.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { Context } from '../../../src/model/event.ts';
import type { Failure } from '../../../src/model/failure.ts';
import type { ImagePin, TargetPins } from '../../../src/model/pins.ts';
import { ok } from '../../../src/model/result.ts';
import { estimateContent } from '../../../src/plan/size.ts';
import type { Store } from '../../../src/store/store.ts';
import { createStore } from '../../../src/store/store.ts';
import type { Tree } from '../data-root/write-bolt.ts';
import { writeBolt } from '../data-root/write-bolt.ts';

/** Refusals of `build --into` that need no engine: the loader is a stand-in that must not be asked to load. */

const { signal } = new AbortController();
const PATHS = containerdPaths('docker', 'daemon');
const TEXT = 'hello';
let dir = '';
let store: Store;
let count = 0;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stowage-into-'));
  const created = await createStore(join(dir, 'store'));
  assert.ok(created.ok);
  store = created.value;
});
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** An image of what is in a directory, which `fill` fills, beside which the output will be. */
function makeImage(fill: (tree: string) => void): string {
  count += 1;
  const tree = join(dir, `tree-${count}`);
  mkdirSync(tree);
  fill(tree);
  const image = join(dir, `image-${count}.ext4`);
  const options = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-L', 'test', '-d', tree];
  execFileSync('mke2fs', [...options, image, '32M'], { stdio: 'pipe' });
  return image;
}

function put(tree: string, path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(join(tree, path)), { recursive: true });
  writeFileSync(join(tree, path), bytes);
}

interface Made {
  readonly pin: ImagePin;
  /** By digest. */
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly diffId: string;
}

function imageOf(name: string): Made {
  const layer = Buffer.from(`layer of ${name}`);
  const diffId = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [diffId] },
    }),
  );
  const part = (mediaType: string, bytes: Buffer) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const kind = 'application/vnd.oci.image';
  const parts = {
    config: part(`${kind}.config.v1+json`, config),
    layers: [part(`${kind}.layer.v1.tar`, layer)],
  };
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: `${kind}.manifest.v1+json`, ...parts }),
  );
  const described = part(`${kind}.manifest.v1+json`, manifest);
  const full = `docker.io/library/${name}:1`;
  const reference = `${full}@${described.digest}`;
  const pin = { reference, manifest: described, ...parts, platform: 'linux/amd64', names: [full] };
  const blobs = new Map([layer, config, manifest].map((bytes) => [digestOf(bytes), bytes]));
  return { pin, blobs, diffId };
}

/** What containerd's store in a data root would be, packed or not. */
function putEngine(tree: string, { pin, blobs, diffId }: Made, packed: boolean): void {
  const number = (value: number): Buffer => {
    const bytes = [];
    let rest = value * 2;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
    return Buffer.from([...bytes, rest]);
  };
  const { digest, mediaType, size } = pin.manifest;
  const listed: Record<string, Tree> = {};
  for (const [blob, bytes] of blobs) {
    listed[blob] = { size: number(bytes.length) };
    put(tree, `${PATHS.blobs}/${blob.slice('sha256:'.length)}`, bytes);
  }
  const target = { digest, mediatype: mediaType, size: number(size) };
  const snapshots = packed ? {} : { overlayfs: { [diffId]: { name: `moby/1/${diffId}` } } };
  const moby = {
    images: { [pin.names[0] ?? '']: { target } },
    content: { blob: listed },
    snapshots,
  };
  put(tree, PATHS.metaDb, writeBolt({ v1: { version: number(4), moby } }));
  if (!packed) put(tree, PATHS.snapshotsDb, writeBolt({ v1: {} }));
}

function putInStore({ blobs }: Made): void {
  for (const [digest, bytes] of blobs) {
    const path = store.blobPath(digest as `sha256:${string}` & ImagePin['manifest']['digest']);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
}

interface Wish {
  readonly images?: Readonly<Record<string, ImagePin>>;
  readonly unpack?: boolean;
  readonly size?: 'auto' | { readonly bytes: number };
  readonly dryRun?: boolean;
  /** What the loader's check finds. */
  readonly unable?: Failure;
  readonly report?: Context['report'];
}

async function add(into: string, wish: Wish = {}) {
  const { images = {}, unpack = true, size = 'auto', dryRun = true, unable } = wish;
  const file = { sha256: digestOf(TEXT), size: TEXT.length, mode: '0644' };
  const pins: TargetPins = {
    target: { platform: 'linux/amd64', set: {} },
    images,
    files: { 'ours/file': file },
  };
  const partition = { label: 'test', size, headroom: { bytes: 0 }, dataRoot: 'docker' };
  const engine = { name: 'docker', store: 'containerd', version: '28.5.2', unpack } as const;
  const request = {
    wanted: {
      partition,
      engine,
      files: { 'ours/file': { mode: '0644', kind: 'content', content: Buffer.from(TEXT) } },
    },
    pins,
    store,
    epoch: 1,
    content: estimateContent(pins, () => undefined),
  } as unknown as BuildRequest;
  const loader: Loader = {
    name: 'dind',
    check: () => Promise.resolve(unable === undefined ? ok() : { ok: false, failure: unable }),
    reap: () => Promise.resolve(ok()),
    fill: () => Promise.reject(new Error('nothing is to be filled')),
    change: () => Promise.reject(new Error('nothing is to be loaded')),
  };
  return buildInto(
    request,
    {
      output: join(dir, `output-${count}.ext4`),
      into,
      settings: { loader: 'dind', stowage: '0', engine, partition },
      dryRun,
      proveWhole: () => Promise.resolve(ok()),
    },
    loader,
    { signal, report: wish.report ?? (() => undefined) },
  );
}

async function failureOf(result: ReturnType<typeof add>): Promise<Failure> {
  const outcome = await result;
  assert.ok(!outcome.ok, 'it would have been done');
  return outcome.failure;
}

async function conflictsOf(result: ReturnType<typeof add>): Promise<string> {
  const failure = await failureOf(result);
  assert.equal(failure.reason, 'into-refused', JSON.stringify(failure));
  return failure.conflicts.join('\n');
}

it('adds files, and what is there stays', async () => {
  const image = makeImage((tree) => {
    put(tree, 'theirs/file', 'theirs');
    symlinkSync('file', join(tree, 'theirs/link'));
  });
  const added = await add(image, { dryRun: false });
  assert.ok(added.ok, JSON.stringify(added));
  const read = await readExisting(join(dir, `output-${count}.ext4`), 'docker', signal);
  assert.ok(read.ok);
  assert.deepEqual(Object.keys(read.value.files).sort(), ['ours/file', 'theirs/file']);
  assert.equal(read.value.tree.get('theirs/link'), 'symlink 777 0:0 to file');
});

it('looks at what the pinned digests stand for, and at the pins of what is there', async () => {
  const there = imageOf('there');
  const image = makeImage((tree) => {
    putEngine(tree, there, false);
  });
  const app = imageOf('app');
  putInStore(app);
  const planned = await add(image, { images: { app: app.pin, there: there.pin } });
  assert.ok(planned.ok, JSON.stringify(planned));
  const other = { ...app.pin, platform: 'linux/arm64' };
  const mismatch = await failureOf(add(image, { images: { app: other } }));
  assert.equal(mismatch.reason, 'platform-mismatch');
  const fewer = await failureOf(add(image, { images: { app: { ...app.pin, layers: [] } } }));
  assert.equal(fewer.reason, 'pin-contradicted');
  const edited = { ...there.pin, layers: app.pin.layers };
  const conflicts = await conflictsOf(add(image, { images: { there: edited } }));
  assert.match(conflicts, /^image there: the pins give sha256:\w+ other parts than it has$/);
});

it('a dry run refuses what can’t be done', async () => {
  const image = makeImage(() => undefined);
  const app = imageOf('app');
  putInStore(app);
  const images = { app: app.pin };
  const small = await failureOf(add(image, { images, size: { bytes: 64 * 1024 } }));
  assert.equal(small.reason, 'no-space');
  const unable = { reason: 'engine-unable', version: '20.10.0', problems: [] } as const;
  assert.deepEqual(await failureOf(add(image, { images, unable })), unable);
  // Files need no engine.
  assert.ok((await add(image, { unable })).ok);
});

it('packed images: neither added nor added to', async () => {
  const there = imageOf('there');
  const unpacked = makeImage((tree) => {
    putEngine(tree, there, false);
  });
  assert.ok((await add(unpacked)).ok);
  assert.match(
    await conflictsOf(add(unpacked, { unpack: false })),
    /^only images whose content is unpacked can be added, and the bundle wants them packed$/,
  );
  const packed = makeImage((tree) => {
    putEngine(tree, there, true);
  });
  assert.match(
    await conflictsOf(add(packed)),
    /^only to images whose content is unpacked can any be added; not so: docker\.io\/library\/there:1$/,
  );
});

it('a file that is written to after it was looked at is refused', async () => {
  const image = makeImage(() => undefined);
  let touched = 0;
  const failure = await failureOf(
    add(image, {
      dryRun: false,
      report: (event) => {
        if (event.type !== 'step' || event.step !== 'read image') return;
        touched += 1;
        utimesSync(image, 1, 1);
      },
    }),
  );
  assert.equal(touched, 1);
  assert.equal(failure.reason, 'output-in-use', JSON.stringify(failure));
});

it('plugins would be lost, what their store leaves behind would not', async () => {
  const image = makeImage((tree) => {
    mkdirSync(join(tree, 'docker/plugins/tmp'), { recursive: true });
    mkdirSync(join(tree, 'docker/plugins/storage/ingest'), { recursive: true });
  });
  assert.ok((await add(image)).ok);
  const used = makeImage((tree) => {
    mkdirSync(join(tree, 'docker/plugins/storage'), { recursive: true });
    mkdirSync(join(tree, 'docker/plugins/0123'), { recursive: true });
  });
  assert.equal(await conflictsOf(add(used)), 'it has plugins: 0123');
});

it('names that are no text are refused by name, outside the images', async () => {
  const image = makeImage((tree) => {
    mkdirSync(join(tree, 'theirs'));
    for (const name of ['a\nb', 'é\x7f']) put(tree, `theirs/${name}/below`, '');
    const below = `${tree}/theirs/`;
    writeFileSync(Buffer.concat([Buffer.from(below), Buffer.from([0x66, 0xff])]), '');
    put(tree, 'docker/buildkit/x\ty', '');
    put(tree, `${PATHS.snapshots}/1/fs/any\nname`, '');
  });
  assert.deepEqual((await conflictsOf(add(image))).split('\n').sort(), [
    'a name in it is no UTF-8, or has control characters: docker/buildkit/x\\x09y',
    'a name in it is no UTF-8, or has control characters: theirs/a\\x0ab',
    'a name in it is no UTF-8, or has control characters: theirs/f\\xff',
    'a name in it is no UTF-8, or has control characters: theirs/é\\x7f',
  ]);
});

it('keeps a file that pins can’t describe', async () => {
  const image = makeImage((tree) => {
    put(tree, 'theirs/back\\slash', 'x');
  });
  const read = await readExisting(image, 'docker', signal);
  assert.ok(read.ok);
  assert.ok(read.value.tree.has('theirs/back\\slash'));
  assert.deepEqual(read.value.files, {});
});
