import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeImage } from '../rig/image.ts';
import { must } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { skip } from '../rig/skip.ts';
import { STOWAGE } from '../rig/stowage.ts';
import {
  buildDirectory,
  builder,
  copyLayer,
  FEW_RECIPES,
  HOST_PROGRAMS,
  LAYER,
  NO_QUILT,
  own,
  realTest,
  sharedPlaces,
  testDirectory,
  type Build,
  type Trees,
} from './build-tree.ts';
import { productLayer, seriesOf, type ProductLayer } from './product-layer.ts';

const SOAK = process.env['STOWAGE_SOAK'] === '1';

/** Nothing of openembedded-core's recipes, which takes minutes; in a soak all of them. */
const RECIPES = SOAK
  ? []
  : ['BBMASK = "/meta/recipes-"', 'ASSUME_PROVIDED += "patch-replacement-native"', NO_QUILT];

async function place(
  t: TestContext,
  real: Trees,
  registry = 'registry.example',
): Promise<{ dir: string; layer: string; product: ProductLayer; others: Others }> {
  const { user, trees } = await builder(t, real);
  const dir = testDirectory(t);
  const layer = copyLayer(join(dir, 'stowage'));
  const product = productLayer(join(dir, 'meta-product'), trees.core, registry);
  await own(user, product.dir);
  const others = { user, trees, dir: join(dir, 'build'), shared: sharedPlaces(dir) };
  return { dir, layer, product, others };
}

type Others = Omit<Parameters<typeof buildDirectory>[1], 'layers'>;

/** A layer with a recipe that installs nothing, or one of this machine's programs. */
function standIn(
  dir: string,
  series: string,
  collection: string,
  recipe: string,
  lines: readonly string[],
): string {
  const recipes = join(dir, 'recipes-stand-in', recipe);
  mkdirSync(recipes, { recursive: true });
  mkdirSync(join(dir, 'conf'), { recursive: true });
  writeFileSync(
    join(dir, 'conf/layer.conf'),
    `BBPATH .= ":\${LAYERDIR}"
BBFILES += "\${LAYERDIR}/recipes-*/*/*.bb"
BBFILE_COLLECTIONS += "${collection}"
BBFILE_PATTERN_${collection} = "^\${LAYERDIR}/"
LAYERSERIES_COMPAT_${collection} = "${series}"
`,
  );
  const common = [
    'LICENSE = "MIT"',
    'LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"',
    'INHIBIT_DEFAULT_DEPS = "1"',
  ];
  writeFileSync(join(recipes, `${recipe}_1.bb`), [...common, ...lines, ''].join('\n'));
  return dir;
}

function program(
  dir: string,
  series: string,
  collection: string,
  name: string,
  path: string,
): string {
  return standIn(dir, series, collection, name, [
    'inherit native',
    'do_install() {',
    '\tinstall -d ${D}${bindir}',
    `\tln -s ${path} \${D}\${bindir}/`,
    '}',
  ]);
}

realTest('yocto-check-layer passes', async (t, trees) => {
  const { dir, layer, others } = await place(t, trees);
  const sentinel = standIn(
    join(dir, 'meta-sentinel'),
    seriesOf(trees.core),
    'sentinel',
    'sentinel',
    ['inherit nopackages nospdx', 'deltask do_populate_sysroot'],
  );
  const build = await buildDirectory(t, { ...others, layers: [sentinel], conf: RECIPES });
  const outcome = await build.run(['yocto-check-layer', layer], {
    deadline: SOAK ? 5_400_000 : 600_000,
  });
  assert.equal(outcome.code, 0, outcome.stdout);
  assert.match(outcome.stdout, /meta-stowage \.\.\. PASS/u);
  const cases = join(trees.core, 'scripts/lib/checklayer/cases/common.py');
  // scarthgap has some down as failing in any layer.
  const checks = [...readFileSync(cases, 'utf8').matchAll(/def test_(\w+)/gu)].map(
    ([, name]) => name,
  );
  assert.ok(checks.length > 7, cases);
  for (const check of checks) {
    const verdict = new RegExp(
      `^INFO: test_${check ?? ''} .*\\n(?:(?!INFO).*\\n)*INFO:  \\.\\.\\. (?:ok|unexpected success)$`,
      'mu',
    );
    assert.match(outcome.stdout, verdict);
  }
});

realTest('no task on the way to do_build but do_fetch may use the network', async (t, trees) => {
  const judge = join(trees.core, 'meta/classes-global/yocto-check-layer.bbclass');
  if (!existsSync(judge) || !readFileSync(judge, 'utf8').includes('check_network_flag')) {
    skip(t, 'BITBAKE_DIR of a release whose yocto-check-layer looks at the network flag');
    return;
  }
  const { layer, product, others } = await place(t, trees);
  const layers = [layer, product.dir];
  const conf = [FEW_RECIPES, HOST_PROGRAMS, 'INHERIT += "yocto-check-layer"'];
  const build = await buildDirectory(t, { ...others, layers, conf });
  assert.doesNotMatch(await build.bitbake('-p'), /QA Issue/u);
  // The check would see one.
  build.configure('do_compile[network] = "1"');
  const { stdout } = await build.run(['bitbake', '-p']);
  assert.match(stdout, /product-data\.bb: QA Issue: task do_compile has network enabled/u);
});

realTest('the platform follows from the machine', async (t, trees) => {
  const { layer, product, others } = await place(t, trees);
  const tunes: readonly (readonly [arch: string, features: string, platform: string])[] = [
    ['aarch64', 'aarch64 armv8a crc cortexa72', 'linux/arm64'],
    ['aarch64_be', 'aarch64 bigendian', ''],
    ['arm', 'arm armv7ve vfp thumb neon vfpv4 callconvention-hard', 'linux/arm/v7'],
    ['arm', 'arm armv7a vfp', 'linux/arm/v7'],
    ['arm', 'arm vfp cortexa7 thumb', 'linux/arm/v7'],
    ['arm', 'arm armv8a cortexa32 crc callconvention-hard neon thumb', 'linux/arm/v7'],
    ['arm', 'arm vfp arm1136jfs callconvention-hard', 'linux/arm/v6'],
    ['arm', 'arm armv6 vfp', 'linux/arm/v6'],
    ['arm', 'arm armv6', 'linux/arm/v5'],
    ['arm', 'arm thumb dsp arm926ejs', 'linux/arm/v5'],
    ['arm', 'arm armv5 dsp thumb', 'linux/arm/v5'],
    ['arm', 'arm armv4 thumb', ''],
    ['arm', 'arm thumb arm920t', ''],
    ['arm', 'arm armv7a vfp bigendian', ''],
    ['x86_64', 'm64 x86-64-v3', 'linux/amd64'],
    ['i686', 'm32 core2', 'linux/386'],
    ['powerpc', 'm32 fpu-hard ppc7400', ''],
    ['powerpc64le', 'm64 power9', 'linux/ppc64le'],
    ['riscv64', 'rv 64 i m a f d c', 'linux/riscv64'],
    ['riscv32', 'rv 32 i m a f d c', ''],
    ['loongarch64', 'loongarch64', 'linux/loong64'],
    ['mips64el', 'n64 fpu-hard mips64r2', 'linux/mips64le'],
  ];
  const program = `
import json, sys
sys.path.insert(0, sys.argv[1])
from stowage.target import platform_of
print(json.dumps([platform_of(arch, features.split()) for arch, features, _ in json.loads(sys.argv[2])]))`;
  const args = ['-B', '-c', program, join(LAYER, 'lib'), JSON.stringify(tunes)];
  const found = JSON.parse(await must('/usr/bin/python3', args)) as string[];
  assert.deepEqual(
    found.map((platform, index) => [...(tunes[index] ?? []).slice(0, 2), platform]),
    tunes,
  );

  const layers = [layer, product.dir];
  const build = await buildDirectory(t, { ...others, layers, conf: [FEW_RECIPES, HOST_PROGRAMS] });
  const machines = { qemuarm: 'linux/arm/v7', qemuarmv5: 'linux/arm/v5', qemux86: 'linux/386' };
  for (const [machine, platform] of Object.entries(machines)) {
    build.configure(`MACHINE = "${machine}"`);
    const get = ['bitbake-getvar', '-q', '--value', '-r', 'product-data', 'STOWAGE_PLATFORM'];
    const { stdout } = await build.run(get);
    assert.equal(stdout.trim().split('\n').at(-1), platform, stdout);
  }
});

realTest('what is missing or wrong stops before any work, with its name', async (t, trees) => {
  const { dir, layer, product, others } = await place(t, trees);
  const layers = [layer, product.dir];
  const options = { ...others, layers, conf: [FEW_RECIPES] };
  // Links to host programs stay in a build directory, so this one never has them.
  const without = await buildDirectory(t, { ...options, dir: join(dir, 'without') });
  const build = await buildDirectory(t, options);
  const refuses = async (message: RegExp, ...conf: string[]): Promise<void> => {
    build.configure(...conf);
    const { code, stdout } = await build.run(['bitbake', 'product-data']);
    assert.notEqual(code, 0, stdout);
    assert.match(stdout, message);
  };
  const here = HOST_PROGRAMS;
  const forRecipe = ':pn-product-data';
  await refuses(/STOWAGE_BUNDLES is empty/u, here, `STOWAGE_BUNDLES${forRecipe} = ""`);
  await refuses(
    /STOWAGE_BUNDLES: other\.yaml is in none of FILESPATH/u,
    ...[here, `STOWAGE_BUNDLES${forRecipe} = "other.yaml"`],
  );
  for (const [variable, value] of [
    ['STOWAGE_SIZE', 'banana'],
    ['STOWAGE_SIZE', '1280MB'],
    ['STOWAGE_SIZE', '64'],
    ['STOWAGE_HEADROOM', 'ten%'],
    ['STOWAGE_HEADROOM', '10'],
  ] as const)
    await refuses(
      new RegExp(`${variable} is "${value}", and has to be`, 'u'),
      ...[here, `${variable}${forRecipe} = "${value}"`],
    );
  for (const name of ['', 'ma ps', '../data', '.data'])
    await refuses(
      new RegExp(`STOWAGE_DATA_NAME is "${name}": name what is deployed with`, 'u'),
      ...[here, `STOWAGE_DATA_NAME${forRecipe} = "${name}"`],
    );
  await refuses(/STOWAGE_PLATFORM is empty, as no images/u, here, 'MACHINE = "qemuppc"');
  // The machine's own Node.js and skopeo are used where the configuration allows it, and nowhere else.
  const { code, stdout } = await without.run(['bitbake', 'product-data']);
  assert.notEqual(code, 0);
  assert.match(stdout, /There is neither node nor skopeo: add HOSTTOOLS \+= "node skopeo"/u);
  without.configure('HOSTTOOLS += "node"');
  const pinning = await without.run(['bitbake', '-c', 'stowage_pin', 'product-data']);
  assert.notEqual(pinning.code, 0);
  assert.match(
    pinning.stdout,
    /stowage pin ended with 6: skopeo is not among .*\n {2}hint: add HOSTTOOLS \+= "skopeo" to conf/u,
  );
  // A layer in a fresh checkout parses.
  rmSync(join(dir, 'stowage/dist/stowage.mjs'));
  await build.bitbake('-p');
  await refuses(/stowage\/dist\/stowage\.mjs is missing: run `make build`/u, here);
});

realTest('pins that are stale, and another machine', async (t, trees) => {
  const registry = await startRegistry(t);
  for (const arch of ['amd64', 'arm64']) {
    const image = await makeImage({ platform: `linux/${arch}`, layers: [{ 'etc/a': arch }] });
    await push(registry, `sample/hello-${arch}:1`, image);
  }
  const { layer, product, others } = await place(t, trees, registry.host);
  const layers = [layer, product.dir];
  const build = await buildDirectory(t, { ...others, layers, conf: [FEW_RECIPES, HOST_PROGRAMS] });
  build.configure('MACHINE = "qemuarm64"', 'STOWAGE_DATA_NAME = "product"');
  await build.bitbake('-c', 'stowage_pin', 'product-data');
  await build.bitbake('product-data');
  const image = join(build.dir, 'tmp/deploy/images/qemuarm64/product.ext4');
  const inspected = await must(process.execPath, [STOWAGE, 'inspect', image, '--json']);
  assert.match(inspected, /linux\/arm64/u);
  assert.match(readFileSync(product.pins, 'utf8'), /"machine": "qemuarm64"/u);

  const bundle = readFileSync(product.bundle, 'utf8');
  writeFileSync(product.bundle, bundle.replace('product.example/hello', 'product.example/renamed'));
  const { code, stdout } = await build.run(['bitbake', 'product-data']);
  assert.notEqual(code, 0);
  assert.match(stdout, /stowage fetch ended with 2: .*pins\.json is not of this bundle any more/u);
  assert.match(stdout, /product\.example\/renamed/u);
  assert.match(stdout, /hint: .*run `bitbake -c stowage_pin product-data`/u);
});

realTest('Node.js and skopeo from the recipes of other layers', async (t, trees) => {
  const registry = await startRegistry(t);
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ 'etc/a': 'a' }] });
  await push(registry, 'sample/hello-amd64:1', image);
  const { dir, layer, product, others } = await place(t, trees, registry.host);
  const series = seriesOf(trees.core);
  const [node, skopeo] = [process.execPath, (await must('which', ['skopeo'])).trim()];
  const oe = program(join(dir, 'meta-oe'), series, 'openembedded-layer', 'nodejs-native', node);
  const virtualization = join(dir, 'meta-virtualization');
  program(virtualization, series, 'virtualization-layer', 'skopeo-native', skopeo);
  const layers = [oe, virtualization, layer, product.dir];
  // No HOSTTOOLS: these programs come through the recipes' sysroots, or not at all.
  const build: Build = await buildDirectory(t, {
    ...others,
    layers,
    conf: [FEW_RECIPES, NO_QUILT],
  });
  await build.bitbake('-c', 'stowage_pin', 'product-data');
  const said = await build.bitbake('product-data');
  assert.match(said, /task do_deploy: Succeeded/u);
});

realTest('proxies are those of every fetcher', async (t, trees) => {
  const asked: string[] = [];
  // Lets nothing through, and notes who was to be reached.
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(404).end();
  });
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  const { port } = proxy.address() as AddressInfo;
  const { layer, product, others } = await place(t, trees, 'registry.product.example');
  const layers = [layer, product.dir];
  const build = await buildDirectory(t, { ...others, layers, conf: [FEW_RECIPES, HOST_PROGRAMS] });
  const env = { https_proxy: `http://127.0.0.1:${port}` };
  const { code } = await build.run(['bitbake', '-c', 'stowage_pin', 'product-data'], { env });
  assert.notEqual(code, 0);
  assert.ok(asked.includes('registry.product.example:443'), asked.join(' '));
});
