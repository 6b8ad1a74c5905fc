import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import { pinTarget } from '../../src/fetch/pin.ts';
import { readBundles } from '../../src/model/bundle-document.ts';
import { exitCodeOf } from '../../src/model/exit-code.ts';
import type { Failure } from '../../src/model/failure.ts';
import { parsePins, formatPins } from '../../src/model/pins-document.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import { parsePlatform } from '../../src/model/platform.ts';
import type { Platform } from '../../src/model/platform.ts';
import type { Result } from '../../src/model/result.ts';
import { stale } from '../../src/plan/compare-pins.ts';
import { evaluate } from '../../src/plan/evaluate.ts';
import type { Wanted } from '../../src/plan/wanted.ts';
import type { OuterEngine } from '../rig/engine.ts';
import { startEngine } from '../rig/engine.ts';
import type { Image } from '../rig/image.ts';
import {
  makeImage,
  makeIndex,
  makeLayer,
  noise,
  writeDirectory,
  writeLayout,
} from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { must } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { recorder } from './fetch-fixture.ts';

const owner = fileOwner();
const AMD64 = platformOf('linux/amd64');
const SKOPEO = ['--insecure-policy', 'copy', '--quiet'];
let directory: string;
let engine: OuterEngine;
let docker: Image;
let both: { readonly 'linux/amd64': Image; readonly 'linux/arm64': Image };
let index: string;
let stores = 0;

before(async () => {
  directory = temporaryTree(owner);
  const at = (name: string): string => join(directory, name);
  const base = await makeLayer({ base: noise(1, 300_000) });
  docker = await makeImage({
    platform: 'linux/amd64',
    format: 'docker',
    config: { Cmd: ['/x'] },
    layers: [base, { own: 'docker' }],
  });
  both = {
    'linux/amd64': await makeImage({ platform: 'linux/amd64', layers: [base, { own: 'a' }] }),
    'linux/arm64': await makeImage({ platform: 'linux/arm64', layers: [base, { own: 'b' }] }),
  };
  const multi = makeIndex(both);
  index = multi.descriptor.digest;
  await writeDirectory(at('dir'), docker);
  await writeLayout(at('oci'), multi, 'web:1');
  await writeLayout(at('single'), both['linux/amd64'], 'other');
  // Two images in one archive each.
  await writeLayout(at('two'), multi, 'web:1');
  await must('skopeo', [...SKOPEO, `oci:${at('single')}:other`, `oci:${at('two')}:other:2`]);
  await must('tar', ['-C', at('two'), '-cf', at('two.tar'), 'oci-layout', 'index.json', 'blobs']);
  await must('skopeo', [
    ...SKOPEO,
    `dir:${at('dir')}`,
    `docker-archive:${at('saved.tar')}:r.io/web:1`,
  ]);
  // By ourselves: a user reads his own storages only.
  const storage = `[vfs@${at('storage')}+${at('run')}]`;
  await must('skopeo', [...SKOPEO, `dir:${at('dir')}`, `containers-storage:${storage}r.io/web:1`]);
  engine = await startEngine(owner);
  await engine.mustDocker(['load', '-i', at('saved.tar')]);
});

interface Case {
  readonly name: string;
  readonly image: string;
  /** What the pins must say it comes from. */
  readonly from: string;
  /** The source has manifests of its own: the platform's, by digest. */
  readonly manifest: () => string | undefined;
  readonly index: () => string | undefined;
  /** What is taken away before the warm run. */
  readonly remove: string;
}

const CASES: readonly Case[] = [
  {
    name: 'dir:',
    image: 'from: dir:dir',
    from: 'dir:dir',
    manifest: () => docker.descriptor.digest,
    index: () => undefined,
    remove: 'dir',
  },
  {
    name: 'oci: with an index',
    image: 'from: "oci:oci:web:1"',
    from: 'oci:oci:web:1',
    manifest: () => both['linux/amd64'].descriptor.digest,
    index: () => index,
    remove: 'oci',
  },
  {
    name: 'oci-archive:, one of two by its name',
    image: 'from: "oci-archive:two.tar:other:2"',
    from: 'oci-archive:two.tar:other:2',
    manifest: () => both['linux/amd64'].descriptor.digest,
    index: () => undefined,
    remove: 'two.tar',
  },
  {
    name: 'docker-archive:',
    image: 'from: "docker-archive:saved.tar:r.io/web:1"',
    from: 'docker-archive:saved.tar:r.io/web:1',
    manifest: () => undefined,
    index: () => undefined,
    remove: 'saved.tar',
  },
  {
    name: 'containers-storage: in a place of its own',
    image:
      'from: "containers-storage:r.io/web:1", storage: { root: storage, driver: vfs, runRoot: run }',
    from: 'containers-storage:[vfs@storage+run]r.io/web:1',
    manifest: () => undefined,
    index: () => undefined,
    remove: 'storage',
  },
  {
    name: 'docker-daemon:',
    image: 'from: "docker-daemon:r.io/web:1"',
    from: 'docker-daemon:r.io/web:1',
    manifest: () => undefined,
    index: () => undefined,
    remove: 'none',
  },
];

describe('an image on this machine is pinned by digest, fetched, and asked for no more', () => {
  for (const { name, image, from, manifest, index: wantedIndex, remove } of CASES)
    it(name, async () => {
      const wanted = wantedOf(`web: { ${image}, tags: ["r.io/web:1"] }`);
      const pins = valueOf(await pin(wanted));
      const web = pins.images['web'];
      assert(web !== undefined);
      assert.equal(web.from, from);
      assert.deepEqual(web.names, ['r.io/web:1']);
      assert.match(web.reference, /^r\.io\/web:1@sha256:/);
      assert.equal(web.index, wantedIndex());
      if (manifest() !== undefined) assert.equal(web.manifest.digest, manifest());
      // The config is the image's ID: whatever the way, it stays.
      else assert.equal(web.config.digest, docker.config.digest);
      assert.deepEqual(valueOf(await pin(wanted)), pins, 'the same again');
      const target = valueOf(parsePins(formatPins({ targets: { 'linux/amd64': pins } }), 'p'));
      assert.deepEqual(target.targets['linux/amd64'], pins);
      assert.deepEqual(stale(wanted, pins), []);

      const store = newStore();
      const cold = valueOf(await fetch(pins, wanted, store));
      assert.equal(cold.blobs.length, new Set(cold.blobs).size);
      assert.equal(cold.blobs.length, 2 + web.layers.length);
      assert.deepEqual(await readdir(join(store, 'staging')), []);
      // The layout that other tools read has the very digest.
      const layout = join(store, 'images', (await readdir(join(store, 'images')))[0] ?? '');
      const raw = await must('skopeo', ['inspect', '--raw', `oci:${layout}`]);
      const { config } = JSON.parse(raw) as { config: { digest: string } };
      assert.equal(config.digest, web.config.digest);

      await rename(join(directory, remove), join(directory, 'gone')).catch(() => undefined);
      try {
        const context = recorder();
        const warm = valueOf(await withoutPrograms(() => fetch(pins, wanted, store, context)));
        assert.equal(warm.downloaded, 0);
        assert.deepEqual(
          context.events.map((event) => event.type),
          ['fetch-planned', 'fetched'],
        );
      } finally {
        await rename(join(directory, 'gone'), join(directory, remove)).catch(() => undefined);
      }
    });

  it('an archive, an engine and a storage agree on what one image is', async () => {
    const digests = new Set<string>();
    for (const { image, manifest } of CASES) {
      if (manifest() !== undefined) continue;
      const pins = valueOf(await pin(wantedOf(`web: { ${image}, tags: ["r.io/web:1"] }`)));
      digests.add(pins.images['web']?.manifest.digest ?? '');
    }
    assert.equal(digests.size, 1);
  });

  it('the platform asked for is taken out of an index, and one that is not there refused', async () => {
    const arm = wantedOf('web: { from: "oci:oci:web:1", tags: [web] }', 'linux/arm64');
    const pins = valueOf(await pin(arm));
    assert.equal(pins.images['web']?.manifest.digest, both['linux/arm64'].descriptor.digest);
    assert.equal(valueOf(await fetch(pins, arm, newStore())).blobs.length, 4);
    const riscv = wantedOf('web: { from: "oci:oci:web:1", tags: [web] }', 'linux/riscv64');
    const failure = failureOf(await pin(riscv));
    assert(failure.reason === 'platform-not-offered');
    assert.deepEqual(failure.offered, ['linux/amd64', 'linux/arm64']);
    const single = failureOf(
      await pin(wantedOf('web: { from: dir:dir, tags: [web] }', 'linux/arm64')),
    );
    assert.equal(single.reason, 'platform-not-offered');
  });

  it('the index is kept where the bundle says so', async () => {
    const wanted = wantedOf('web: { from: "oci:oci:web:1", tags: [web], keepIndex: true }');
    const pins = valueOf(await pin(wanted));
    assert.equal(pins.images['web']?.keptIndex?.digest, index);
    const store = newStore();
    const { blobs } = valueOf(await fetch(pins, wanted, store));
    assert(blobs.some((digest) => digest === index));
    const kept = await readFile(join(store, 'blobs', 'sha256', index.slice(7)), 'utf8');
    assert.equal((JSON.parse(kept) as { manifests: unknown[] }).manifests.length, 2);
  });

  it("the loader's image may come from here too", async () => {
    const wanted = wantedOf('web: { from: dir:dir, tags: [web] }', 'linux/amd64', 'oci:oci:web:1');
    const pins = valueOf(await pin(wanted));
    assert.equal(pins.dind?.from, 'oci:oci:web:1');
    assert.deepEqual(Object.keys(pins.dind.platforms), ['linux/amd64', 'linux/arm64']);
    const options = { store: newStore(), locations: wanted, dindPlatform: AMD64 };
    assert.equal(valueOf(await fetchTarget(pins, {}, options, recorder())).images, 2);
  });
});

describe('what is not there and what is broken are told apart', () => {
  const missing: readonly (readonly [string, string])[] = [
    ['a file that is not there', 'from: "oci-archive:absent.tar"'],
    ['a directory that is not there', 'from: "oci:absent"'],
    ['a file in the place of a directory', 'from: "dir:saved.tar"'],
    ['a name that is not in the layout', 'from: "oci:oci:absent"'],
    ['a name that is not in the archive', 'from: "docker-archive:saved.tar:r.io/absent:1"'],
    ['no name, and two images', 'from: "oci-archive:two.tar"'],
    ['a name that the engine has not', 'from: "docker-daemon:r.io/absent:1"'],
    [
      'a name that the storage has not',
      'from: "containers-storage:r.io/absent:1", storage: { root: storage, driver: vfs, runRoot: run }',
    ],
    [
      'a storage that is not there',
      'from: "containers-storage:r.io/web:1", storage: { root: absent, driver: vfs, runRoot: run }',
    ],
  ];
  for (const [name, image] of missing)
    it(name, async () => {
      const failure = failureOf(await pin(wantedOf(`web: { ${image}, tags: [web] }`)));
      assert(failure.reason === 'registry-refused', JSON.stringify(failure));
      assert.equal(failure.why, 'not-found', failure.detail);
      assert.equal(exitCodeOf(failure), 5);
      assert(!(await readdir(directory)).includes('absent'), 'nothing was made');
    });

  const breaking: readonly (readonly [string, string, () => Promise<void>])[] = [
    [
      'an archive that was cut off',
      'docker-archive:cut.tar',
      async () => {
        await must('cp', [join(directory, 'saved.tar'), join(directory, 'cut.tar')]);
        await truncate(join(directory, 'cut.tar'), 5000);
      },
    ],
    [
      'an archive that is none',
      'oci-archive:text.tar',
      () => writeFile(join(directory, 'text.tar'), 'hello\n'),
    ],
    [
      'a manifest that is no JSON',
      'dir:html',
      async () => {
        await mkdir(join(directory, 'html'));
        await writeFile(join(directory, 'html', 'version'), 'Directory Transport Version: 1.1\n');
        await writeFile(join(directory, 'html', 'manifest.json'), '<html>');
      },
    ],
  ];
  for (const [name, from, make] of breaking)
    it(name, async () => {
      await make();
      const failure = failureOf(await pin(wantedOf(`web: { from: "${from}", tags: [web] }`)));
      // What is no manifest at all may be told by us or by skopeo.
      assert(failure.reason === 'source-bad' || name.includes('JSON'), JSON.stringify(failure));
      assert.equal(exitCodeOf(failure), failure.reason === 'source-bad' ? 3 : 5);
    });

  it('a blob that is damaged, or gone, when it is fetched', async () => {
    await must('cp', ['-r', join(directory, 'single'), join(directory, 'hurt')]);
    const wanted = wantedOf('web: { from: "oci:hurt:other", tags: [web] }');
    const pins = valueOf(await pin(wanted));
    const hex = pins.images['web']?.layers[0]?.digest.slice(7) ?? '';
    const blob = join(directory, 'hurt', 'blobs', 'sha256', hex);
    const content = await readFile(blob);
    content[100] = (content[100] ?? 0) ^ 1;
    await writeFile(blob, content);
    for (const spoil of [() => Promise.resolve(), () => rm(blob)]) {
      await spoil();
      const store = newStore();
      const failure = failureOf(await fetch(pins, wanted, store));
      assert(failure.reason === 'source-bad', JSON.stringify(failure));
      assert.equal(failure.problem, 'broken');
      assert.deepEqual(await readdir(join(store, 'blobs', 'sha256')), []);
    }
  });

  it('an image that is another than was pinned', async () => {
    const wanted = wantedOf('web: { from: "docker-archive:moving.tar", tags: [web] }');
    const archive = join(directory, 'moving.tar');
    await must('cp', [join(directory, 'saved.tar'), archive]);
    const pins = valueOf(await pin(wanted));
    await rm(archive);
    await must('skopeo', [
      ...SKOPEO,
      `oci:${join(directory, 'single')}:other`,
      `dir:${archive}.dir`,
    ]);
    await must('skopeo', [
      ...['--insecure-policy', 'copy', '--quiet', '--format', 'v2s2'],
      ...[`dir:${archive}.dir`, `docker-archive:${archive}:r.io/web:1`],
    ]);
    const failure = failureOf(await fetch(pins, wanted, newStore()));
    assert(failure.reason === 'source-bad', JSON.stringify(failure));
    assert.equal(failure.problem, 'changed');
    assert.equal(exitCodeOf(failure), 3);
    assert.match(failure.detail, new RegExp(`pinned is ${pins.images['web']?.manifest.digest}`));
  });

  it('an engine that does not answer', async () => {
    const wanted = wantedOf('web: { from: "docker-daemon:r.io/web:1", tags: [web] }');
    const dockerHost = `unix://${join(directory, 'no.sock')}`;
    const failure = failureOf(await pinTarget(wanted, { dockerHost }, recorder()));
    assert.equal(failure.reason, 'engine-unreachable');
  });
});

describe('files beside the bundle', () => {
  it('are pinned as they are written there, and found from anywhere', async () => {
    await mkdir(join(directory, 'texts'), { recursive: true });
    await writeFile(join(directory, 'texts', 'p.txt'), 'profile');
    const wanted = wantedOf(
      'web: { from: dir:dir, tags: [web] }\nfiles: { p: { url: texts/p.txt } }',
    );
    const pins = valueOf(await pin(wanted));
    assert.equal(pins.files['p']?.url, 'texts/p.txt');
    const store = newStore();
    const options = { store, locations: wanted };
    assert.equal(valueOf(await fetchTarget(pins, wanted.files, options, recorder())).files, 1);
    const kept = join(store, 'files', 'sha256', pins.files['p'].sha256.slice(7));
    assert.equal(await readFile(kept, 'utf8'), 'profile');
  });
});

function wantedOf(images: string, platform = 'linux/amd64', dind = 'dir:dir'): Wanted {
  const [image = '', ...more] = images.split('\n');
  const text = `stowage: 1\nengine: { dind: "${dind}" }\nimages: { ${image} }\n${more.join('\n')}\n`;
  const bundle = valueOf(readBundles([{ path: join(directory, 'bundle.yaml'), text }]));
  const wanted = evaluate(bundle, { platform: platformOf(platform), set: {} }, undefined);
  return valueOf(wanted);
}

function pin(wanted: Wanted): Promise<Result<TargetPins>> {
  return pinTarget(wanted, { dockerHost: engine.host, temporary: directory }, recorder());
}

function fetch(
  pins: TargetPins,
  wanted: Wanted,
  store: string,
  context = recorder(),
): ReturnType<typeof fetchTarget> {
  const options = { store, locations: wanted, dockerHost: engine.host };
  return fetchTarget(pins, wanted.files, options, context);
}

/** With no skopeo to be found: who would start one fails. */
async function withoutPrograms<T>(work: () => Promise<T>): Promise<T> {
  const path = process.env['PATH'];
  process.env['PATH'] = '/nonexistent';
  try {
    return await work();
  } finally {
    process.env['PATH'] = path;
  }
}

function newStore(): string {
  return join(directory, `store-${stores++}`);
}

function platformOf(text: string): Platform {
  const parsed = parsePlatform(text);
  assert(parsed.ok);
  return parsed.value;
}

function valueOf<T>(result: Result<T>): T {
  assert(result.ok, JSON.stringify(result));
  return result.value;
}

function failureOf(result: Result<unknown>): Failure {
  assert(!result.ok, JSON.stringify(result));
  return result.failure;
}
