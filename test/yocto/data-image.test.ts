import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage, noise } from '../rig/image.ts';
import { must } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';
import { STOWAGE } from '../rig/stowage.ts';
import {
  buildDirectory,
  builder,
  copyLayer,
  FEW_RECIPES,
  HOST_PROGRAMS,
  own,
  realTest,
  sharedPlaces,
  tasksRun,
  testDirectory,
  type Build,
  type BuildOptions,
} from './build-tree.ts';
import { productLayer, type ProductLayer } from './product-layer.ts';

/** A machine of a builder's, with stowage's layer and a product's. */
interface Workshop {
  readonly registry: Registry;
  readonly product: ProductLayer;
  readonly options: BuildOptions;
  readonly first: Build;
}

const CONF = [FEW_RECIPES, HOST_PROGRAMS];
const NO_NETWORK = ['unshare', '--net'];

async function publish(registry: Registry, seed: number): Promise<void> {
  for (const arch of ['amd64', 'arm64']) {
    const layers = [{ 'etc/sample': { content: noise(seed, 200_000) } }];
    const image = await makeImage({ platform: `linux/${arch}`, layers });
    await push(registry, `sample/hello-${arch}:1`, image);
  }
}

async function workshop(
  t: Parameters<Parameters<typeof realTest>[1]>[0],
  real: Parameters<Parameters<typeof realTest>[1]>[1],
): Promise<Workshop> {
  const registry = await startRegistry(t);
  await publish(registry, 1);
  const { user, trees } = await builder(t, real);
  const dir = testDirectory(t);
  const layer = copyLayer(join(dir, 'stowage'));
  const product = productLayer(join(dir, 'meta-product'), trees.core, registry.host);
  await own(user, product.dir);
  const options = {
    ...{ user, trees, dir: join(dir, 'build'), layers: [layer, product.dir] },
    ...{ shared: sharedPlaces(dir), conf: CONF },
  };
  return { registry, product, options, first: await buildDirectory(t, options) };
}

/** Another build directory, with the same downloads and sstate unless told otherwise. */
function another(
  t: Parameters<Parameters<typeof realTest>[1]>[0],
  { options }: Workshop,
  name: string,
  other: Partial<BuildOptions> = {},
): Promise<Build> {
  return buildDirectory(t, { ...options, dir: join(options.dir, '..', name), ...other });
}

const digestOf = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex');

/** Of the recipe's tasks, as bitbake itself would lock them: `product-data:do_compile:<hash>`. */
async function signatures(build: Build): Promise<string[]> {
  await build.bitbake('-S', 'lockedsigs', 'product-data');
  const text = readFileSync(join(build.dir, 'locked-sigs.inc'), 'utf8');
  const found = [...text.matchAll(/\b(?:product-data|stowage-native):do_\w+:[0-9a-f]+/gu)];
  assert.ok(found.length > 10, text);
  return found.map(([signature]) => signature).sort();
}

const compiles = (all: readonly string[]): string | undefined =>
  all.find((signature) => signature.startsWith('product-data:do_compile:'));

realTest(
  'from missing pins to a deployed image, then without a network, then from sstate',
  async (t, trees) => {
    const shop = await workshop(t, trees);
    const { registry, product, first, options } = shop;

    const without = await first.run(['bitbake', 'product-data']);
    assert.equal(without.code, 1);
    assert.match(
      without.stdout,
      /pins\.json is missing.*run `bitbake -c stowage_pin product-data`/u,
    );

    await first.bitbake('-c', 'stowage_pin', 'product-data');
    assert.match(readFileSync(product.pins, 'utf8'), /sample\/hello-amd64:1@sha256:/u);
    await registry.forget();
    await first.bitbake('-c', 'fetch', 'product-data');
    const blobs = (await registry.requests()).filter(({ path }) => path.includes('/blobs/'));
    assert.equal(new Set(blobs.map(({ path }) => path)).size, 2, 'a config and a layer');

    // Only what was fetched is there from here on.
    await registry.stop();
    first.configure('BB_NO_NETWORK = "1"');
    const built = await first.run(['bitbake', 'product-data'], { under: NO_NETWORK });
    assert.equal(built.code, 0, built.stdout + built.stderr);
    const image = join(first.images, 'data.ext4');
    const document = JSON.parse(readFileSync(join(first.images, 'data.json'), 'utf8')) as object;
    assert.doesNotMatch(JSON.stringify(document), /\/tmp\//u, 'no path of this build');
    await must('e2fsck', ['-fn', image]);
    await must(process.execPath, [STOWAGE, 'verify', image, '-p', product.pins]);
    const inspected = await must(process.execPath, [STOWAGE, 'inspect', image, '--json']);
    assert.match(inspected, /product\.example\/hello:latest/u);

    const sbom = JSON.parse(readFileSync(join(first.images, 'data.spdx.json'), 'utf8')) as {
      spdxVersion?: unknown;
    };
    assert.equal(sbom.spdxVersion, 'SPDX-2.3');
    assert.match(
      readFileSync(join(first.images, 'data-images.csv'), 'utf8'),
      /hello-amd64:1@sha256:/u,
    );

    const again = tasksRun(await first.bitbake('product-data'));
    assert.deepEqual(again, [], 'nothing is left to do');
    const names = readdirSync(options.shared.downloads, { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      names.filter((name) => /\.(?:lock|done)$/u.test(name)),
      [],
    );

    const fresh = await another(t, shop, 'from-sstate');
    const said = await fresh.run(['bitbake', 'product-data'], { under: NO_NETWORK });
    assert.equal(said.code, 0, said.stdout + said.stderr);
    const tasks = tasksRun(said.stdout);
    assert.ok(tasks.includes('product-data do_deploy_setscene'), said.stdout);
    assert.ok(!tasks.some((task) => /do_(?:fetch|compile|deploy)$/u.test(task)), said.stdout);
    assert.equal(digestOf(join(fresh.images, 'data.ext4')), digestOf(image));
  },
);

realTest(
  'signatures: the same for every directory and user, other ones for other digests',
  async (t, trees) => {
    const shop = await workshop(t, trees);
    const { registry, product, first, options } = shop;
    await first.bitbake('-c', 'stowage_pin', 'product-data');
    const before = await signatures(first);
    assert.deepEqual(await signatures(first), before, 'twice');

    // Somebody else, with stowage's layer and the product's elsewhere, other downloads and other ways to registries.
    const other = await builder(t, trees);
    const elsewhere = testDirectory(t);
    const copied = join(elsewhere, 'meta-product');
    cpSync(product.dir, copied, { recursive: true });
    await own(other.user, copied);
    const theirs = await buildDirectory(t, {
      ...options,
      ...other,
      dir: join(elsewhere, 'build'),
      layers: [copyLayer(join(elsewhere, 'tools')), copied],
      shared: sharedPlaces(elsewhere),
      conf: [
        ...CONF,
        'STOWAGE_MIRRORS = "127.0.0.1:1/mirror"',
        'STOWAGE_JOBS = "2"',
        'STOWAGE_AUTHFILE = "/nonexistent/auth.json"',
        'PREMIRRORS = "docker://.*/.* docker://127.0.0.1:1/other"',
        'BB_ALLOWED_NETWORKS = "127.0.0.1"',
      ],
    });
    assert.deepEqual(await signatures(theirs), before, 'another user and other directories');

    // Another board's pins come, and the file is written otherwise: no signature of this board moves.
    const pins = readFileSync(product.pins, 'utf8');
    const arm = await first.run(['bitbake', '-c', 'stowage_pin', 'product-data'], {
      env: { MACHINE: 'qemuarm64', BB_ENV_PASSTHROUGH_ADDITIONS: 'MACHINE' },
    });
    assert.equal(arm.code, 0, arm.stdout + arm.stderr);
    assert.match(readFileSync(product.pins, 'utf8'), /linux\/arm64/u);
    assert.deepEqual(await signatures(first), before, "another board's pins");
    writeFileSync(product.pins, JSON.stringify(JSON.parse(pins)));
    assert.deepEqual(await signatures(first), before, 'pins on one line');
    writeFileSync(product.pins, pins);
    writeFileSync(product.bundle, readFileSync(product.bundle));
    assert.deepEqual(await signatures(first), before, 'a bundle that was touched');

    await first.bitbake('product-data');
    const image = join(first.images, 'data.ext4');
    const old = digestOf(image);
    // The tag gets another image, and the pins follow.
    await publish(registry, 2);
    await first.bitbake('-c', 'stowage_pin', 'product-data');
    assert.notEqual(readFileSync(product.pins, 'utf8'), pins);
    const after = await signatures(first);
    assert.notEqual(compiles(after), compiles(before));
    const rebuilt = tasksRun(await first.bitbake('product-data'));
    assert.deepEqual(
      rebuilt.filter((task) => task.startsWith('product-data') && !task.includes('recipe_qa')),
      ['fetch', 'compile', 'deploy'].map((task) => `product-data do_${task}`),
    );
    assert.notEqual(digestOf(image), old);

    const differs = async (line: string): Promise<void> => {
      first.configure(line);
      assert.notEqual(compiles(await signatures(first)), compiles(after), line);
    };
    await differs('STOWAGE_LABEL = "another"');
    await differs('STOWAGE_UNPACK = "0"');
    const policy = join(options.dir, '../policy.json');
    writeFileSync(policy, '{"default": [{"type": "reject"}]}');
    await differs(`STOWAGE_POLICY = "${policy}"`);
    // What is in a store was judged already, so this is an empty one.
    first.configure(`STOWAGE_POLICY = "${policy}"`, 'STOWAGE_STORE = "${TOPDIR}/another-store"');
    const rejected = await first.run(['bitbake', 'product-data']);
    assert.notEqual(rejected.code, 0);
    assert.match(rejected.stdout, /stowage fetch ended with 5/u);
  },
);

realTest('two users, two directories: the same bytes', async (t, trees) => {
  const shop = await workshop(t, trees);
  const { product, first } = shop;
  await first.bitbake('-c', 'stowage_pin', 'product-data');
  await first.bitbake('product-data');
  const other = await builder(t, trees);
  const elsewhere = testDirectory(t);
  const theirs = await another(t, shop, 'theirs', {
    ...other,
    dir: join(elsewhere, 'a-longer-name/of-a-build'),
    shared: sharedPlaces(elsewhere),
  });
  const tasks = tasksRun(await theirs.bitbake('product-data'));
  assert.ok(tasks.includes('product-data do_compile'), 'not from sstate');
  for (const name of ['data.ext4', 'data.json', 'data.spdx.json', 'data-images.csv'])
    assert.equal(digestOf(join(theirs.images, name)), digestOf(join(first.images, name)), name);
  assert.ok(existsSync(product.pins));
});

realTest('mirrors, and what may not be asked', async (t, trees) => {
  const shop = await workshop(t, trees);
  const { registry, product, first, options } = shop;
  await first.bitbake('-c', 'stowage_pin', 'product-data');
  await first.bitbake('-c', 'fetch', 'product-data');
  const mirror = await startRegistry(t, { storage: registry.storage });
  const fetched = async (
    name: string,
    ...conf: string[]
  ): Promise<{ code: number; said: string }> => {
    const dir = join(testDirectory(t), name);
    mkdirSync(dir);
    const build = await another(t, shop, name, { shared: sharedPlaces(dir) });
    build.configure(...conf);
    await registry.forget();
    await mirror.forget();
    const { code, stdout } = await build.run(['bitbake', '-c', 'fetch', 'product-data']);
    return { code, said: stdout };
  };
  const asked = async (which: Registry): Promise<number> => (await which.requests()).length;

  // A registry on the right side of PREMIRRORS is asked first, and has all.
  const one = await fetched('one', `PREMIRRORS = "docker://.*/.* docker://${mirror.host}/"`);
  assert.equal(one.code, 0, one.said);
  assert.equal(await asked(registry), 0);
  assert.ok((await asked(mirror)) > 0);

  // One that is for another registry is not asked.
  const two = await fetched('two', `PREMIRRORS = "docker://ghcr.io/.* docker://${mirror.host}/"`);
  assert.equal(two.code, 0, two.said);
  assert.equal(await asked(mirror), 0);

  // A directory of downloads is a mirror too; then nobody is asked.
  const from = `PREMIRRORS = "docker://.*/.* file://${options.shared.downloads}"`;
  const three = await fetched('three', from, 'BB_FETCH_PREMIRRORONLY = "1"');
  assert.equal(three.code, 0, three.said);
  assert.equal((await asked(mirror)) + (await asked(registry)), 0);

  // So it is where openembedded-core would not warn of it.
  const four = await fetched(
    'four',
    `STOWAGE_MIRRORS = "file://${options.shared.downloads} ${mirror.host}"`,
    'BB_FETCH_PREMIRRORONLY = "1"',
  );
  assert.equal(four.code, 0, four.said);
  assert.doesNotMatch(four.said, /Invalid protocol/u);
  assert.equal((await asked(mirror)) + (await asked(registry)), 0);

  const alone = await fetched('alone', 'BB_FETCH_PREMIRRORONLY = "1"');
  assert.equal(alone.code, 1);
  assert.match(alone.said, /no registry may be asked, as BB_FETCH_PREMIRRORONLY = "1"/u);
  assert.doesNotMatch(alone.said, /BB_NO_NETWORK|BB_ALLOWED_NETWORKS/u);
  const refused = await fetched('refused', 'BB_ALLOWED_NETWORKS = "*.example.org"');
  assert.equal(refused.code, 1);
  assert.match(
    refused.said,
    /no registry may be asked, as BB_ALLOWED_NETWORKS lacks 127\.0\.0\.1/u,
  );
  const offline = await fetched('offline', 'BB_NO_NETWORK = "1"');
  assert.equal(offline.code, 1);
  assert.match(offline.said, /hello: sha256:\w+ is missing in .*stowage-store/u);
  assert.match(
    offline.said,
    /no registry may be asked, as BB_NO_NETWORK = "1": run `bitbake -c fetch/u,
  );
  assert.equal((await asked(mirror)) + (await asked(registry)), 0);
  assert.ok(existsSync(product.pins));
});
