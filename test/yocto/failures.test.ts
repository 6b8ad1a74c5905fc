import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage, noise } from '../rig/image.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import {
  buildDirectory,
  builder,
  copyLayer,
  FEW_RECIPES,
  HOST_PROGRAMS,
  own,
  realTest,
  sharedPlaces,
  testDirectory,
} from './build-tree.ts';
import { productLayer } from './product-layer.ts';

realTest('a failure is told once on the console, with what to do', async (t, real) => {
  const registry = await startRegistry(t);
  const layers = [{ 'etc/sample': { content: noise(1, 3_000_000) } }];
  const published = await makeImage({ platform: 'linux/amd64', layers });
  await push(registry, 'sample/hello-amd64:1', published);
  const { user, trees } = await builder(t, real);
  const dir = testDirectory(t);
  const product = productLayer(join(dir, 'meta-product'), trees.core, registry.host);
  await own(user, product.dir);
  const shared = sharedPlaces(dir);
  const build = await buildDirectory(t, {
    ...{ user, trees, dir: join(dir, 'build'), shared },
    layers: [copyLayer(join(dir, 'stowage')), product.dir],
    conf: [FEW_RECIPES, HOST_PROGRAMS],
  });
  const fails = async (task: string, ...expected: readonly RegExp[]): Promise<string> => {
    const { code, stdout } = await build.run(['bitbake', '-c', task, 'product-data']);
    assert.notEqual(code, 0, stdout);
    for (const text of expected) assert.match(stdout, text);
    assert.doesNotMatch(stdout, /Execution of|Traceback/u);
    assert.equal(stdout.match(/^ERROR: product-data-\S+ do_\w+: stowage /gmu)?.length, 1, stdout);
    return stdout;
  };

  const pinned = await build.bitbake('-c', 'stowage_pin', 'product-data');
  assert.match(pinned, /pins\.json: linux\/amd64.*: written\n.*hello: .*hello-amd64:1@sha256:/u);
  const pins = readFileSync(product.pins, 'utf8');
  const bundle = readFileSync(product.bundle, 'utf8');

  // Nothing was fetched so far.
  build.configure('BB_NO_NETWORK = "1"');
  await fails('fetch', /ended with 3: hello: sha256:\w+ is missing/u, /BB_NO_NETWORK = "1"/u);
  build.configure('MACHINE = "qemuarm64"');
  await fails(
    'fetch',
    /ended with 2: .*pins\.json has no pins for linux\/arm64.*; it has: linux\/amd64/u,
    /hint: pin this machine too: `MACHINE=qemuarm64 bitbake -c stowage_pin product-data`/u,
  );
  await fails('stowage_pin', /stowage pin ended with 5: .*sample\/hello-arm64/u);
  build.configure('STOWAGE_PLATFORM = "linux/arm46"');
  await fails(
    'fetch',
    /ended with 2: STOWAGE_PLATFORM "linux\/arm46" is no platform/u,
    /hint: STOWAGE_PLATFORM is set to "linux\/arm46", and for MACHINE qemux86-64 it would be linux\/amd64/u,
  );
  build.configure();

  writeFileSync(product.bundle, `${bundle}mistake: 1\n`);
  assert.doesNotMatch(await fails('fetch', /product\.yaml.*mistake/u), /hint:.*stowage_pin/u);
  writeFileSync(product.bundle, bundle);
  writeFileSync(product.pins, 'no JSON');
  await fails('fetch', /pins\.json/u, /hint: pins are generated: bring back the file/u);
  // What nobody ever published.
  const [, digest = ''] = /@sha256:([0-9a-f]{64})/u.exec(pins) ?? [];
  assert.ok(digest !== '');
  writeFileSync(product.pins, pins.replaceAll(digest, 'a'.repeat(64)));
  await fails('fetch', /hint: .*(?:was edited|are generated)/u);
  writeFileSync(product.pins, pins);

  await build.bitbake('-c', 'fetch', 'product-data');
  build.configure('STOWAGE_SIZE = "2M"');
  await fails('compile', /stowage build ended with 7: /u, /hint: give a larger STOWAGE_SIZE/u);
  build.configure();
  rmSync(join(shared.downloads, 'stowage-store/blobs'), { recursive: true });
  await fails(
    'compile',
    /stowage build ended with 3: hello: /u,
    /`bitbake -c clean product-data && bitbake product-data`/u,
  );
  await build.bitbake('-c', 'clean', 'product-data');
  assert.match(await build.bitbake('product-data'), /task do_fetch: Succeeded/u);
  const taints = (): string[] =>
    readdirSync(join(build.dir, 'tmp/stamps'), { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.taint'),
    );
  assert.deepEqual(taints(), []);
  // Why that and not the shorter way.
  await build.bitbake('-C', 'fetch', 'product-data');
  assert.notDeepEqual(taints(), []);
  await build.bitbake('-c', 'clean', 'product-data');
  assert.deepEqual(taints(), []);

  // A second recipe beside it, with the same inputs.
  const second = join(product.dir, 'recipes-product/product-two');
  mkdirSync(second);
  const recipe = readFileSync(join(product.bundle, '../../product-data.bb'), 'utf8')
    .replace('"product.yaml"', JSON.stringify(product.bundle))
    .replace('"pins.json"', JSON.stringify(product.pins));
  writeFileSync(join(second, 'product-two.bb'), recipe);
  const both = await build.run(['bitbake', 'product-data', 'product-two']);
  assert.notEqual(both.code, 0, both.stdout);
  assert.match(
    both.stdout,
    /ERROR: Multiple \.bb files are due to be built which each provide STOWAGE_DATA_NAME=data:\n.*product-\w+\.bb\n.*product-\w+\.bb/mu,
  );
  build.configure('STOWAGE_DATA_NAME:pn-product-two = "two"');
  await build.bitbake('product-data', 'product-two');
});
