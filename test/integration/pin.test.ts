import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, it } from 'node:test';
import { makeImage, makeIndex } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** `stowage pin` as a tool of releases: what moved, and moving one image alone. */
const owner = fileOwner();
let registry: Registry;
let directory: string;
let bundle: string;
let catalog: string;

before(async () => {
  registry = await startRegistry(owner);
  directory = temporaryTree(owner);
  bundle = join(directory, 'product.yaml');
  catalog = join(directory, 'catalog.json');
  for (const [name, tag] of [
    ['app', '1'],
    ['web', '1'],
    ['web', '2'],
    ['db', '1'],
    ['db', '2'],
  ] as const)
    await publish(name, tag, `${name} ${tag}`);
  await publish('dind', '28', 'dind');
  await writeFile(catalog, JSON.stringify({ web: '1', db: '1' }));
  const from = (name: string, tag: string): string =>
    `docker://${registry.host}/home/${name}:${tag}`;
  const lines = [
    'stowage: 1',
    `catalog: ${JSON.stringify(catalog)}`,
    'partition: { label: data, size: auto }',
    `engine: { version: "28.5.2", dind: "${from('dind', '28')}" }`,
    'images:',
    `  app: { from: "${from('app', '1')}" }`,
    `  web: { from: "${from('web', '{catalog.web}')}" }`,
    `  db: { from: "${from('db', '{catalog.db}')}" }`,
  ];
  await writeFile(bundle, `${lines.join('\n')}\n`);
});

async function publish(name: string, tag: string, content: string): Promise<void> {
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ content }] });
  await push(registry, `home/${name}:${tag}`, makeIndex({ 'linux/amd64': image }));
}

it('tells what moved in a table, and moves one image without asking for another', async (t) => {
  const pins = join(directory, 'pins.json');
  const pin = (...more: readonly string[]): ReturnType<typeof runStowage> =>
    runStowage(t, ['pin', '-b', bundle, '-p', pins, ...more]);
  const platform = ['--platform', 'linux/amd64'];

  const unpinned = await pin(...platform, '--check');
  assert.equal(unpinned.code, 8);
  assert.match(unpinned.stdout, /linux\/amd64 is not pinned yet/);
  assert.equal((await pin(...platform)).code, 0);
  // The pins have one target, so it need not be named; and nothing is pinned where nothing is written.
  const same = await pin('--check');
  assert.deepEqual([same.code, same.stdout], [0, `${pins}: linux/amd64: nothing is newer\n`]);

  assert.match(same.stderr, /^stowage: found app: /m);
  assert.doesNotMatch(same.stderr, /pinned/);
  const dry = await pin('-n');
  assert.deepEqual([dry.code, dry.stdout], [0, `${pins}: linux/amd64: unchanged\n`], dry.stderr);
  assert.doesNotMatch(dry.stderr, /pinned/);
  const other = await pin('--check', '--machine', 'board', '--set', 'x=1');
  assert.equal(other.code, 2);

  // The same tag built again, and two new versions in the catalog.
  await publish('app', '1', 'app built again');
  await writeFile(catalog, JSON.stringify({ web: '2', db: '2' }));
  const before = await readFile(pins, 'utf8');
  const check = await pin(...platform, '--check');
  assert.equal(check.code, 8, check.stderr);
  assert.equal(await readFile(pins, 'utf8'), before);
  const rows = check.stdout.trimEnd().split('\n').slice(1);
  const short = 'sha256:[0-9a-f]{12}…';
  assert.equal(rows.length, 4, check.stdout);
  assert.match(rows[0] ?? '', /^what +pinned +now$/);
  assert.match(rows[1] ?? '', new RegExp(`^app +1 ${short} +${short}$`));
  assert.match(rows[2] ?? '', new RegExp(`^db +1 ${short} +2 ${short}$`));
  assert.match(rows[3] ?? '', new RegExp(`^web +1 ${short} +2 ${short}$`));

  await registry.forget();
  const updated = await pin('--update', 'web');
  assert.equal(updated.code, 0, updated.stderr);
  const asked = (await registry.requests()).map(({ path }) => path);
  assert(asked.some((path) => path.includes('/home/web/')));
  assert.deepEqual(
    asked.filter((path) => path !== '/v2/' && !path.includes('/home/web/')),
    [],
  );
  const images = await imagesIn(pins);
  const old = JSON.parse(before) as {
    targets: Record<string, { images: Record<string, unknown> }>;
  };
  assert.match(images['web']?.reference ?? '', /home\/web:2@/);
  for (const name of ['app', 'db'])
    assert.deepEqual(images[name], old.targets['linux/amd64']?.images[name]);
  const catalogOf = (JSON.parse(await readFile(pins, 'utf8')) as WithCatalog).targets[
    'linux/amd64'
  ];
  assert.deepEqual(catalogOf.catalog.values, { db: '1', web: '2' });

  // What is written is of the bundle: nothing calls it stale.
  const store = join(directory, 'store');
  const fetched = await runStowage(t, ['fetch', '-b', bundle, '-p', pins, '-s', store, '--frozen']);
  assert.equal(fetched.code, 0, fetched.stderr);
  const left = await pin(...platform, '--check', '--update', 'web');
  assert.equal(left.code, 0, left.stdout);

  const unknown = await pin('--update', 'wbe');
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /an image of the bundle: app, web, db/);
  // Nothing is pinned there that could move: one error, which says what comes first.
  const nowhere = join(directory, 'nowhere.json');
  for (const [place, before] of [
    [['-p', pins, '--platform', 'linux/s390x'], / has no pins for linux\/s390x; it has: /],
    [['-p', nowhere, '--platform', 'linux/amd64'], /: there are no pins: .* does not exist\n/],
  ] as const) {
    const unpinned = await runStowage(t, ['pin', '-b', bundle, ...place, '--update', 'web']);
    assert.equal(unpinned.code, 2, unpinned.stderr);
    assert.match(unpinned.stderr, before);
    assert.match(
      unpinned.stderr,
      /hint: run `stowage pin.*, without --update, which moves what is/,
    );
  }
});

it('notices a reference that a bot has edited, says what to do, and does it', async (t) => {
  const pins = join(directory, 'edited.json');
  const target = ['-b', bundle, '-p', pins, '--platform', 'linux/amd64'];
  assert.equal((await runStowage(t, ['pin', ...target])).code, 0);
  await publish('app', '1', 'app built a third time');
  const digest = (await imagesIn(pins))['app']?.reference.split('@')[1] ?? '';
  const now = await fetch(`${registry.url}/v2/home/app/manifests/1`, {
    headers: { Accept: 'application/vnd.oci.image.index.v1+json' },
  });
  const moved = now.headers.get('docker-content-digest') ?? '';
  assert.notEqual(moved, digest);
  const text = await readFile(pins, 'utf8');
  await writeFile(pins, text.replace(`home/app:1@${digest}`, `home/app:1@${moved}`));

  const store = join(directory, 'edited-store');
  const frozen = await runStowage(t, ['fetch', ...target, '-s', store, '--frozen']);
  assert.equal(frozen.code, 2);
  assert.match(
    frozen.stderr,
    /edited\.json:\d+: images\.app: its reference says .*, and the digests beside it are of/,
  );
  assert.match(frozen.stderr, /if the reference was moved on purpose, run `stowage pin`/);
  assert.doesNotMatch(frozen.stderr, /bundle/);
  const updated = await runStowage(t, ['pin', ...target, '--update', 'app']);
  assert.equal(updated.code, 0, updated.stderr);
  assert.match((await imagesIn(pins))['app']?.reference ?? '', new RegExp(moved));
  assert.equal((await runStowage(t, ['fetch', ...target, '-s', store, '--frozen'])).code, 0);
});

it('says that an index does not list the manifest beside it, also after the tag has moved', async (t) => {
  await publish('kept', '1', 'kept 1');
  await publish('kept', 'vulnerable', 'kept 0');
  const own = join(directory, 'kept.yaml');
  const write = (tag: string): Promise<void> =>
    writeFile(
      own,
      `stowage: 1\nimages: { kept: { from: "docker://${registry.host}/home/kept:${tag}", tags: ["home/kept:1"] } }\n`,
    );
  const run = async (name: string, ...more: readonly string[]): ReturnType<typeof runStowage> => {
    const [command = '', ...options] = more;
    const pins = ['-b', own, '-p', join(directory, name), '--platform', 'linux/amd64'];
    return runStowage(t, [command, ...pins, '--loader', 'direct', ...options]);
  };
  const pinned = async (tag: string, name: string): Promise<string> => {
    await write(tag);
    assert.equal((await run(name, 'pin')).code, 0);
    return readFile(join(directory, name), 'utf8');
  };
  const old = await pinned('vulnerable', 'old.json');
  const good = await pinned('1', 'good.json');
  // Reference and index of the one, all that is fetched of the other.
  const first = (text: string, key: string): string =>
    new RegExp(`"${key}": (?:"[^"]*"|\\{.*\\})`).exec(text)?.[0] ?? '';
  let mixed = old;
  for (const key of ['index', 'reference'])
    mixed = mixed.replace(first(old, key), first(good, key));
  mixed = mixed.replaceAll('home/kept:vulnerable"', 'home/kept:1"');
  await writeFile(join(directory, 'mixed.json'), mixed);

  const store = join(directory, 'kept-store');
  const fetched = await run('mixed.json', 'fetch', '-s', store, '--frozen');
  assert.equal(fetched.code, 0, fetched.stderr);
  const contradicted = /kept:.*that index does not list the manifest sha256:/;
  for (const state of ['as it was', 'moved']) {
    if (state === 'moved') await publish('kept', '1', 'kept 2');
    const check = await run('mixed.json', 'pin', '--check');
    assert.equal(check.code, 3, `${state}: ${check.stderr}`);
    assert.match(check.stderr, contradicted);
  }
  assert.equal((await run('good.json', 'pin', '--check')).code, 8, 'a tag may move');

  const index = first(good, 'index').split('"')[3] ?? '';
  const gone = `sha256:${'0'.repeat(64)}`;
  await writeFile(join(directory, 'gone.json'), good.replaceAll(index, gone));
  const unknown = await run('gone.json', 'pin', '--check');
  assert.equal(unknown.code, 8, unknown.stderr);
  assert.match(unknown.stderr, new RegExp(`kept.*nobody has the index ${gone} any more`));
});

interface WithCatalog {
  readonly targets: { 'linux/amd64': { catalog: { values: Record<string, string> } } };
}

async function imagesIn(pins: string): Promise<Record<string, { reference: string } | undefined>> {
  const document = JSON.parse(await readFile(pins, 'utf8')) as {
    targets: Record<string, { images: Record<string, { reference: string }> }>;
  };
  return document.targets['linux/amd64']?.images ?? {};
}
