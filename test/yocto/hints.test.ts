import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestOf } from '../../src/model/digest.ts';
import type { Failure } from '../../src/model/failure.ts';
import { describeFailure } from '../../src/report/describe-failure.ts';
import { must } from '../rig/process.ts';

const LAYER = join(import.meta.dirname, '../../meta-stowage');

/** What bitbake knows of the recipe, where a case says nothing else. */
const RECIPE: Variables = {
  PN: 'product-data',
  MACHINE: 'qemux86-64',
  TARGET_ARCH: 'x86_64',
  TUNE_FEATURES: 'm64 core2',
  STOWAGE_PLATFORM: 'linux/amd64',
  STOWAGE_STORE: '/downloads/stowage-store',
};

type Variables = Readonly<Record<string, string>>;

const PROGRAM = `
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from stowage import failures

class Recipe(dict):
    getVar = dict.get

case = json.loads(sys.argv[2])
recipe = Recipe(case["recipe"])
print(json.dumps([failures.message(case["document"]), failures.advice(recipe, case["verb"], case["document"])]))`;

/** [variables that are otherwise, the verb, what it failed with, what is said, what is to be done] */
const CASES: readonly (readonly [Variables, string, Failure, RegExp, RegExp])[] = [
  [
    { STOWAGE_PLATFORM: 'linux/arm46' },
    'fetch',
    { reason: 'unknown-platform', given: 'linux/arm46' },
    /^STOWAGE_PLATFORM "linux\/arm46" is no platform$/u,
    /^STOWAGE_PLATFORM is set to "linux\/arm46", and for MACHINE qemux86-64 it would be linux\/amd64: leave it out, or /u,
  ],
  [
    { STOWAGE_PLATFORM: 'linux/arm46', MACHINE: 'qemuppc', TARGET_ARCH: 'powerpc' },
    'pin',
    { reason: 'unknown-platform', given: 'linux/arm46' },
    /no platform$/u,
    /^STOWAGE_PLATFORM is set to "linux\/arm46", and no images are made for MACHINE qemuppc: /u,
  ],
  [
    { STOWAGE_PLATFORM: 'linux/arm64' },
    'fetch',
    {
      ...{ reason: 'target-not-pinned', file: '/l/pins.json' },
      ...{ wanted: 'linux/arm64 qemux86-64', pinned: ['linux/amd64'] },
    },
    /^\/l\/pins\.json has no pins for linux\/arm64 qemux86-64; it has: linux\/amd64$/u,
    /^STOWAGE_PLATFORM is set to "linux\/arm64", and .* would be linux\/amd64\. If that is meant, pin this machine too: `MACHINE=qemux86-64 bitbake -c stowage_pin product-data`/u,
  ],
  [
    {},
    'fetch',
    {
      ...{ reason: 'target-not-pinned', file: '/l/pins.json' },
      ...{ wanted: 'linux/amd64 qemux86-64', pinned: ['linux/arm64'] },
    },
    /it has: linux\/arm64$/u,
    /^pin this machine too: `MACHINE=qemux86-64 bitbake/u,
  ],
  [
    { MACHINE: 'qemuarm64', TARGET_ARCH: 'aarch64', STOWAGE_PLATFORM: 'linux/arm64' },
    'pin',
    {
      ...{ reason: 'platform-not-offered', image: 'app', reference: 'r.example/app:1' },
      ...{ wanted: 'linux/arm64', offered: ['linux/amd64', 'linux/386'] },
    },
    /^app: r\.example\/app:1 has no image for linux\/arm64; it has: linux\/amd64, linux\/386$/u,
    /^STOWAGE_PLATFORM is linux\/arm64 because MACHINE is qemuarm64\. Name another image or tag in STOWAGE_BUNDLES; .*STOWAGE_PLATFORM or another MACHINE$/u,
  ],
  [
    {},
    'build',
    {
      ...{ reason: 'no-space', where: 'the data image', needed: 5e6, available: 2e6, fits: 5e6 },
      sizeAt: { file: '/l/product.yaml', line: 2, column: 14 },
    },
    /^no space left in the data image \(partition\.size in \/l\/product\.yaml:2\): /u,
    /^write a larger partition\.size in \/l\/product\.yaml:2 \(4\.8M should do\), or auto$/u,
  ],
  [
    { STOWAGE_SIZE: '2M' },
    'build',
    { reason: 'no-space', where: 'the data image', needed: 5e6, available: 2e6, fits: 5e6 },
    /^no space left in the data image: /u,
    /^give a larger STOWAGE_SIZE \(4\.8M should do\), or STOWAGE_SIZE auto$/u,
  ],
  [
    {},
    'fetch',
    {
      ...{ reason: 'pins-stale', file: '/l/pins.json', target: 'linux/amd64', differences: [] },
      edited: [{ path: [], line: 9, detail: 'images.app: its reference says sha256:a' }],
    },
    /^\/l\/pins\.json:9: images\.app: its reference says sha256:a$/u,
    /^bring back the file as it was committed; or if a reference was moved on purpose, run `bitbake -c stowage_pin product-data`/u,
  ],
  [
    {},
    'fetch',
    {
      ...{ reason: 'registry-refused', what: 'app', why: 'not-found', detail: 'manifest unknown' },
      pins: { file: '/l/pins.json', line: 9 },
    },
    /^app: not found: manifest unknown$/u,
    /^\/l\/pins\.json:9 names it: a pin was edited, or the registry lost what it says: bring back/u,
  ],
  [
    {},
    'fetch',
    {
      ...{ reason: 'registry-temporary', what: 'app', attempts: 4, detail: 'connection refused' },
      sources: [{ kind: 'mirror', name: 'm.example:5000', detail: 'connection refused' }],
    },
    /^app: the mirror m\.example:5000: connection refused \(4 attempts\)$/u,
    /^see whether m\.example:5000 of STOWAGE_MIRRORS or PREMIRRORS is right and up, /u,
  ],
  [
    {},
    'build',
    {
      ...{
        reason: 'blob-bad',
        problem: 'missing',
        owner: 'app',
        store: '/downloads/stowage-store',
      },
      digest: digestOf('layer'),
    },
    /^app: sha256:\w+ is missing in \/downloads\/stowage-store$/u,
    /^the store is not as do_fetch left it: run `bitbake -c clean product-data && bitbake product-data`$/u,
  ],
];

for (const [variables, verb, failure, said, advised] of CASES)
  void test(`${verb}: ${failure.reason} with ${JSON.stringify(variables)}`, async () => {
    const document = { failure, ...describeFailure(failure) };
    const given = JSON.stringify({ recipe: { ...RECIPE, ...variables }, verb, document });
    const printed = await must('/usr/bin/python3', ['-c', PROGRAM, join(LAYER, 'lib'), given]);
    const [message, hint] = JSON.parse(printed) as [string, string];
    assert.match(message, said);
    assert.match(hint, advised);
    assert.doesNotMatch(`${message} ${hint}`, /--[a-z]/u, 'an option of the command line');
  });

const WARNING = `
import json, sys, types
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
said = []
bb = sys.modules["bb"] = types.ModuleType("bb")
bb.warn = said.append
from stowage import target

class Recipe(dict):
    getVar = dict.get

target.warn(Recipe(json.loads(sys.argv[2])))
print(json.dumps(said))`;

/** [the machine's, what it is to be for, whether that is said] */
const ARCHITECTURES: readonly (readonly [Variables, string, boolean])[] = [
  [{ TARGET_ARCH: 'aarch64' }, 'linux/amd64', true],
  [{ TARGET_ARCH: 'aarch64' }, 'linux/arm/v7', true],
  [{ TARGET_ARCH: 'aarch64' }, 'linux/arm64', false],
  [{ TARGET_ARCH: 'arm', TUNE_FEATURES: 'armv7a vfp' }, 'linux/arm/v6', false],
  // stowage says what is wrong with it.
  [{ TARGET_ARCH: 'aarch64' }, 'linux/arm46', false],
  [{ TARGET_ARCH: 'powerpc' }, 'linux/amd64', false],
];

for (const [machine, platform, isSaid] of ARCHITECTURES)
  void test(`${platform} for ${Object.values(machine).join(' ')} is ${isSaid ? '' : 'not '}warned of`, async () => {
    const recipe = { MACHINE: 'board', ...machine, STOWAGE_PLATFORM: platform };
    const args = ['-c', WARNING, join(LAYER, 'lib'), JSON.stringify(recipe)];
    const said = JSON.parse(await must('/usr/bin/python3', args)) as string[];
    assert.equal(said.length, isSaid ? 1 : 0);
    if (isSaid)
      assert.match(
        said.join(),
        new RegExp(`^STOWAGE_PLATFORM is ${platform}, and MACHINE board is one for linux/arm64: `),
      );
  });
