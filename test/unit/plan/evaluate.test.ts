import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bundle } from '../../../src/model/bundle.ts';
import { readBundles } from '../../../src/model/bundle-document.ts';
import { formatReference } from '../../../src/model/reference.ts';
import type { Result } from '../../../src/model/result.ts';
import type { EvaluateOptions } from '../../../src/plan/evaluate.ts';
import { catalogAddress, catalogLocation, evaluate } from '../../../src/plan/evaluate.ts';
import { evaluateFromPins } from '../../../src/plan/evaluate-from-pins.ts';
import type { Wanted } from '../../../src/plan/wanted.ts';
import { targetPins } from '../model/pins-sample.ts';
import { catalogOf } from './catalog-sample.ts';

function bundleOf(text: string): Bundle {
  const bundle = readBundles([{ path: 'b.yaml', text: `stowage: 1\n${text}` }]);
  assert.ok(bundle.ok, JSON.stringify(bundle));
  return bundle.value;
}

const ARM64: EvaluateOptions = { platform: { os: 'linux', arch: 'arm64' }, set: {} };
const CATALOG = catalogOf({ x: '1', deep: { rpi4: 7 }, bad: '{nope}' }, 'https://c/x.json');

function evaluated(text: string, options: Partial<EvaluateOptions> = {}): Wanted {
  const wanted = evaluate(bundleOf(text), { ...ARM64, ...options }, CATALOG);
  assert.ok(wanted.ok, JSON.stringify(wanted));
  return wanted.value;
}

/** `place detail` of the one problem, or of the option. */
function problemOf(result: Result<unknown>): string {
  assert.ok(!result.ok, 'it was evaluated');
  const { failure } = result;
  if (failure.reason === 'invalid-document') {
    const [problem, ...others] = failure.problems;
    assert.deepEqual(others, []);
    const line = problem?.line === undefined ? '' : `:${problem.line}:${problem.column ?? 0}`;
    return `${failure.file}${line} ${problem?.path ?? ''}: ${problem?.detail ?? ''}`;
  }
  if (failure.reason === 'invalid-option') {
    return `${failure.option} ${failure.value}: ${failure.expected}`;
  }
  assert.equal(failure.reason, 'pins-stale');
  return `${failure.file} ${failure.target}: ${failure.differences.join('; ')}`;
}

const WITH_CATALOG = 'catalog: "https://c/{v}.json"\nvars: { v: x, w: "1" }\n';

test("{arch} is the bundle's word, else GOARCH", () => {
  const text = 'arch: { aarch64: aarch64 }\nimages: { x: { from: "docker://r.io/{arch}:1" } }';
  assert.equal(
    formatReference(evaluated(text).images['x']?.reference ?? assert.fail()),
    'r.io/aarch64:1',
  );
  const riscv = evaluated(text, { platform: { os: 'linux', arch: 'riscv64' } });
  assert.deepEqual(riscv.images['x']?.names, ['r.io/riscv64:1']);
});

test('what is used of the catalog is kept, as the catalog has it', () => {
  const text = `${WITH_CATALOG}images: { x: { from: "docker://x:{catalog.x}-{catalog.deep.{machine}}" } }`;
  const wanted = evaluated(text, { machine: 'rpi4' });
  assert.deepEqual(wanted.catalog, {
    from: 'https://c/x.json',
    values: { x: '1', 'deep.rpi4': '7' },
  });
  assert.deepEqual(wanted.images['x']?.names, ['docker.io/library/x:1-7']);
});

test('a machine that nobody asks for is no part of the target', () => {
  const wanted = evaluated('images: { x: { from: "docker://x:1" } }', { machine: 'rpi4' });
  assert.deepEqual(wanted.target, { platform: 'linux/arm64', set: {} });
});

test('a variable set to its default is not set', () => {
  const wanted = evaluated(`${WITH_CATALOG}images: { x: { from: "docker://x:1" } }`, {
    set: { w: '2', v: 'x' },
  });
  assert.deepEqual(wanted.target.set, { w: '2' });
  assert.deepEqual(wanted.vars, { v: 'x', w: '2' });
});

test('names are full, sorted and each there once', () => {
  const wanted = evaluated(
    'images: { x: { from: "docker://x", tags: [z, a:2, "docker.io/library/x:latest"] } }',
  );
  assert.deepEqual(wanted.images['x']?.names, [
    'docker.io/library/a:2',
    'docker.io/library/x:latest',
    'docker.io/library/z:latest',
  ]);
});

test('files are filled in, JSON in the order of its keys', () => {
  const wanted = evaluated(`vars: { v: "a\\"b" }
images: { x: { from: "docker://x" } }
files:
  "{v}.txt": { text: "{{{v}}}\\n" }
  j: { json: { z: "{v}", a: [1, null, true, { k: "{arch}" }] }, mode: "0600" }
`);
  const contents = Object.fromEntries(
    Object.entries(wanted.files).map(([path, file]) => [
      path,
      file.kind === 'content' ? `${file.mode} ${new TextDecoder().decode(file.content)}` : '',
    ]),
  );
  assert.deepEqual(contents, {
    'a"b.txt': '0644 {a"b}\n',
    j: '0600 {"z":"a\\"b","a":[1,null,true,{"k":"arm64"}]}\n',
  });
});

test('the engine and its image can be overridden', () => {
  const text = 'images: { x: { from: "docker://x" } }';
  const newer = evaluated(text, { engineVersion: '29.0.1' });
  assert.equal(newer.engine.version, '29.0.1');
  assert.equal(formatReference(newer.dind), 'docker.io/library/docker:29.0.1-dind');
  for (const dind of ['127.0.0.1:5000/dind:1', 'docker://127.0.0.1:5000/dind:1']) {
    assert.equal(formatReference(evaluated(text, { dind }).dind), '127.0.0.1:5000/dind:1');
  }
});

const REFUSED: readonly (readonly [string, string, Partial<EvaluateOptions>, string])[] = [
  [
    'an unknown variable',
    WITH_CATALOG,
    { set: { vv: 'x' } },
    "--set vv=x: one of the bundle's variables: v, w; did you mean v?",
  ],
  [
    'any variable where there is none',
    '',
    { set: { a: '1' } },
    '--set a=1: no --set, since the bundle has no variables',
  ],
  [
    'a far-off variable',
    WITH_CATALOG,
    { set: { channel: 'x' } },
    "--set channel=x: one of the bundle's variables: v, w",
  ],
  [
    'a password',
    WITH_CATALOG,
    { set: { v: 'https://u:p@h/' } },
    '--set v=https://***@h/: an address without user and password, which would get into the pins',
  ],
  [
    'a machine with a slash',
    '',
    { machine: 'a/b' },
    "--machine a/b: a machine's name: letters, digits, '_', '.' and '-'",
  ],
  [
    'an engine version in words',
    '',
    { engineVersion: 'latest' },
    "--engine-version latest: an engine's version, such as 28.5.2",
  ],
  [
    'a dind image that is none',
    '',
    { dind: 'X' },
    '--dind X: an image: "X" has upper-case letters; names of images are lower case',
  ],
  [
    'a catalog key that is missing',
    `${WITH_CATALOG}images: { y: { from: "docker://y:{catalog.deep.rpi5}" } }`,
    {},
    'https://c/x.json deep.rpi5: deep has no "rpi5"; did you mean rpi4? (images.y.from asks for it)',
  ],
  [
    'a variable that a catalog invents',
    `${WITH_CATALOG}images: { y: { from: "docker://y:{catalog.bad}" } }`,
    {},
    'b.yaml:4:11 images.y.from: {nope} is no variable; there are v, w, arch, machine, engine.version',
  ],
  [
    'a tag with a space',
    'vars: { v: "a b" }\nimages: { y: { from: "docker://y:{v}" } }',
    {},
    'b.yaml:3:11 images.y.from: "y:a b" contains white space',
  ],
  [
    'a name with a digest',
    `images: { y: { from: "docker://y", tags: ["z@sha256:${'0'.repeat(64)}"] } }`,
    {},
    `b.yaml:2:11 images.y.tags[0]: "z@sha256:${'0'.repeat(64)}" has a digest; a name on the device is NAME:TAG`,
  ],
  [
    'a digest without a name',
    `images: { y: { from: "docker://y@sha256:${'0'.repeat(64)}" } }`,
    {},
    'b.yaml:2:11 images.y: it is named by its digest alone; give it a tag, or a name under tags',
  ],
  [
    'two images of one name',
    'images: { y: { from: "docker://y" }, z: { from: "docker://z", tags: [y] } }',
    {},
    'b.yaml:2:38 images.z: its name docker.io/library/y:latest is also that of images.y, which is another image',
  ],
  [
    'a transport out of a variable',
    'vars: { v: "sif:/x" }\nimages: { y: { from: "{v}" } }',
    {},
    'b.yaml:3:11 images.y.from: "sif:/x": images from sif: are not supported; there are docker://, containers-storage:, docker-archive:, docker-daemon:, oci-archive:, oci:, dir:',
  ],
  [
    'a local image without a name',
    'images: { y: { from: "oci:x" } }',
    {},
    'b.yaml:2:11 images.y: an image from oci: has no name of its own; give it one under tags',
  ],
  [
    'a storage of what is in none',
    'vars: { v: "oci:/x" }\nimages: { y: { from: "{v}", tags: [y], storage: { root: s } } }',
    {},
    'b.yaml:3:11 images.y.from: "oci:/x" is in no container storage; take storage out',
  ],
  [
    'a path that leaves the partition',
    'vars: { v: ".." }\nimages: { y: { from: "docker://y" } }\nfiles: { "a/{v}/b": { text: "" } }',
    {},
    'b.yaml:4:10 files.a/{v}/b: "a/../b" has .. in it',
  ],
  [
    'a path into the data root',
    'vars: { v: docker }\nimages: { y: { from: "docker://y" } }\nfiles: { "{v}/b": { text: "" } }',
    {},
    'b.yaml:4:10 files.{v}/b: "docker/b" is in the engine\'s data root, docker',
  ],
  [
    'one path twice',
    'vars: { v: a }\nimages: { y: { from: "docker://y" } }\nfiles: { a: { text: "" }, "{v}": { text: "" } }',
    {},
    'b.yaml:4:27 files.{v}: "a" is there twice',
  ],
  [
    'a file that is a directory too',
    'images: { y: { from: "docker://y" } }\nfiles: { a: { text: "" }, a/b: { text: "" } }',
    {},
    'b.yaml:3:27 files.a/b: "a" would be a file, and a directory for "a/b"',
  ],
  [
    'an address of a scheme unknown',
    'images: { y: { from: "docker://y" } }\nfiles: { a: { url: "ftp://x/y" } }',
    {},
    'b.yaml:3:10 files.a.url: "ftp://x/y" is no address: https://, http:// (loopback only), file:/// or a path',
  ],
];
for (const [name, text, options, problem] of REFUSED) {
  test(`refuses ${name}`, () => {
    const bundle = bundleOf(
      text.includes('images:') ? text : `${text}\nimages: { x: { from: "docker://x" } }`,
    );
    assert.equal(problemOf(evaluate(bundle, { ...ARM64, ...options }, CATALOG)), problem);
  });
}

test('the address of the catalog is known before the catalog', () => {
  const bundle = bundleOf(`${WITH_CATALOG}images: { x: { from: "docker://x:{catalog.x}" } }`);
  assert.deepEqual(catalogAddress(bundle, { ...ARM64, set: { v: 'beta' } }), {
    ok: true,
    value: 'https://c/beta.json',
  });
  assert.deepEqual(catalogAddress(bundleOf('images: { x: { from: "docker://x" } }'), ARM64), {
    ok: true,
    value: undefined,
  });
});

test('pins are enough to evaluate again without a network', () => {
  const bundle = bundleOf(
    `${WITH_CATALOG}images: { x: { from: "docker://{arch}:{catalog.x}-{machine}-{w}" } }`,
  );
  const options = { ...ARM64, machine: 'rpi4', set: { w: '2' } };
  const wanted = evaluate(bundle, options, CATALOG);
  assert.ok(wanted.ok && wanted.value.catalog !== undefined);
  const pins = { ...targetPins(wanted.value.target), catalog: wanted.value.catalog };
  assert.deepEqual(evaluateFromPins(bundle, pins, 'pins.json'), wanted);
});

const OUTDATED: readonly (readonly [string, string, Parameters<typeof targetPins>[0], string])[] = [
  [
    'a catalog value that was not pinned',
    `${WITH_CATALOG}images: { x: { from: "docker://x:{catalog.x}" } }`,
    {},
    "pins.json linux/arm64: the catalog's x: it is not among the values that were pinned (images.x.from asks for it)",
  ],
  [
    'a variable that is gone',
    'vars: { b: x }\nimages: { x: { from: "docker://x:{b}" } }',
    { set: { a: '1' } },
    "pins.json linux/arm64 a=1: the target sets a=1, and the bundle wants one of the bundle's variables: b; did you mean b?",
  ],
  [
    'a machine that is asked for now',
    'images: { x: { from: "docker://x:{machine}" } }',
    {},
    'pins.json linux/arm64: the bundle asks for {machine}, and the target has none',
  ],
  [
    'a machine that nobody asks for any more',
    'images: { x: { from: "docker://x" } }',
    { machine: 'rpi4' },
    'pins.json linux/arm64 rpi4: the target is for the machine rpi4, and the bundle asks for none',
  ],
];
for (const [name, text, target, problem] of OUTDATED) {
  test(`pins are stale with ${name}`, () => {
    assert.equal(
      problemOf(evaluateFromPins(bundleOf(text), targetPins(target), 'pins.json')),
      problem,
    );
  });
}

test('local images, files and catalogs are found beside the bundle that names them', () => {
  const bundle = readBundles([
    {
      path: 'some/where/b.yaml',
      text: `stowage: 1
catalog: versions.json
vars: { dir: images }
engine: { dind: "oci:../dind" }
images:
  a: { from: "oci-archive:{dir}/a.tar:web:1", tags: [z/a, y/a] }
  b: { from: "containers-storage:x:1", storage: { root: "{dir}/store", driver: vfs }, tags: [b] }
  c: { from: "docker-daemon:x:1", tags: [c], keepIndex: true }
files: { p: { url: texts/p.txt }, q: { url: /abs } }`,
    },
  ]);
  assert.ok(bundle.ok, JSON.stringify(bundle));
  const address = catalogAddress(bundle.value, ARM64);
  assert.deepEqual(address, { ok: true, value: 'versions.json' });
  assert.equal(catalogLocation(bundle.value, 'versions.json'), 'some/where/versions.json');
  assert.equal(catalogLocation(bundle.value, 'https://x/y'), 'https://x/y');
  const result = evaluate(bundle.value, ARM64, undefined);
  assert.ok(result.ok, JSON.stringify(result));
  const { images, files, dind, dindLocal } = result.value;
  assert.deepEqual(images['a'], {
    reference: { registry: 'docker.io', repository: 'y/a', tag: 'latest' },
    local: {
      transport: 'oci-archive',
      text: 'oci-archive:images/a.tar:web:1',
      path: 'images/a.tar',
      name: 'web:1',
      location: 'some/where/images/a.tar',
    },
    names: ['docker.io/y/a:latest', 'docker.io/z/a:latest'],
  });
  assert.deepEqual(images['b']?.local, {
    transport: 'containers-storage',
    text: 'containers-storage:[vfs@images/store]x:1',
    path: 'images/store',
    name: 'x:1',
    driver: 'vfs',
    location: 'some/where/images/store',
  });
  assert.equal(images['c']?.local?.location, undefined);
  assert.equal(images['c']?.keepIndex, true);
  assert.deepEqual(files['p'], {
    kind: 'url',
    mode: '0644',
    url: 'texts/p.txt',
    location: 'some/where/texts/p.txt',
  });
  assert.deepEqual(files['q'], { kind: 'url', mode: '0644', url: '/abs' });
  assert.equal(formatReference(dind), 'stowage.local/dind:28.5.2');
  assert.equal(dindLocal?.location, 'some/dind');
});

test('--dind may name any transport, from the working directory', () => {
  const wanted = evaluated('images: { x: { from: "docker://x:1" } }', { dind: 'oci:d' });
  assert.equal(wanted.dindLocal?.location, 'd');
  const named = evaluated('images: { x: { from: "docker://x:1" } }', { dind: 'docker:28-dind' });
  assert.equal(formatReference(named.dind), 'docker.io/library/docker:28-dind');
});
