import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bundle } from '../../../src/model/bundle.ts';
import { readBundles } from '../../../src/model/bundle-document.ts';

function read(...texts: readonly string[]): ReturnType<typeof readBundles> {
  return readBundles(texts.map((text, index) => ({ path: `${'ab'[index] ?? 'c'}.yaml`, text })));
}

function readOk(...texts: readonly string[]): Bundle {
  const bundle = read(...texts);
  assert.ok(bundle.ok, JSON.stringify(bundle));
  return bundle.value;
}

/** `line:column path: detail` of each problem of the one bundle. */
function problemsOf(...texts: readonly string[]): readonly string[] {
  const result = read(...texts);
  assert.ok(!result.ok, 'it was read');
  assert.equal(result.failure.reason, 'invalid-document', JSON.stringify(result.failure));
  assert.equal(result.failure.kind, 'bundle');
  return result.failure.problems.map(
    ({ line, column, path, detail }) =>
      `${line === undefined ? '' : `${line}:${column ?? 0} `}${path === undefined ? '' : `${path}: `}${detail}`,
  );
}

const IMAGE = 'images: { x: { from: "docker://x:1" } }';

test('an image is enough; the rest has defaults', () => {
  assert.deepEqual(readOk(`stowage: 1\n${IMAGE}\n`), {
    files: ['a.yaml'],
    vars: {},
    arch: {},
    partition: { label: 'data', size: 'auto', headroom: { percent: 10 }, dataRoot: 'docker' },
    engine: {
      name: 'docker',
      store: 'containerd',
      version: '28.5.2',
      unpack: true,
      dind: 'docker://docker.io/library/docker:{engine.version}-dind',
    },
    images: { x: { from: 'docker://x:1', tags: [], at: { file: 'a.yaml', line: 2, column: 11 } } },
    extraFiles: {},
    writtenAt: {},
  });
});

test('everything that can be said is read', () => {
  const bundle = readOk(`stowage: 1
vars: { channel: stable }
arch: { aarch64: aarch64, armhf: armv7 }
catalog: "https://example.org/{channel}.json"
partition: { label: "hassos-data", size: 1280M, headroom: 64M, dataRoot: var/docker }
engine: { name: docker, store: containerd, version: "27.1", dind: "docker://d:{engine.version}" }
images:
  a: &anchor
    from: docker://{catalog.images.a}:{catalog.a}
    tags: ["x/{arch}:latest"]
  b: *anchor
files:
  one: { url: "https://example.org/x", mode: "4755" }
  "two/{channel}": { text: "{{}}" }
  three: { json: [1, { a: "{channel}" }] }
`);
  assert.deepEqual(bundle.arch, { 'linux/arm64': 'aarch64', 'linux/arm/v7': 'armv7' });
  assert.equal(bundle.catalog, 'https://example.org/{channel}.json');
  assert.deepEqual(bundle.partition, {
    label: 'hassos-data',
    size: { bytes: 1280 * 1024 ** 2 },
    headroom: { bytes: 64 * 1024 ** 2 },
    dataRoot: 'var/docker',
  });
  assert.equal(bundle.engine.version, '27.1');
  assert.equal(bundle.images['b']?.from, bundle.images['a']?.from);
  const at = { file: 'a.yaml', line: 13, column: 3 };
  assert.deepEqual(bundle.extraFiles['one'], {
    kind: 'url',
    url: 'https://example.org/x',
    mode: '4755',
    at,
  });
  assert.equal(bundle.extraFiles['two/{channel}']?.kind, 'text');
  assert.equal(bundle.extraFiles['three']?.mode, '0644');
});

test('all problems are told at once, in the order of the text', () => {
  assert.deepEqual(
    problemsOf(`stowage: 1
vars: { build: 7, Bad-name: y, u: "https://me:secret@host/x" }
arch: { vax: vax, arm64: a, linux/arm64/v8: b }
partition: { label: averyveryverylonglabel, size: 12, headroom: 5, sise: auto, dataRoot: ../x }
engine: { version: 28.5, name: podman }
images:
  core:
    form: docker://x
    tags: [a, a]
  b: { from: "sif:/x" }
  c:
files:
  /abs: { text: "", mode: "0644" }
  mode: { text: "", mode: 0644 }
  both: { text: "", url: "x" }
  docker/x: { json: { a: "{nope" } }
  "tab\\tx": { text: "" }
extra: 1
`),
    [
      '2:16 vars.build: 7 is a number here, not text; put it in quotes: "7"',
      "2:19 vars.Bad-name: \"Bad-name\" is not a variable's name: a letter, then letters, digits and '_'; not arch, machine, catalog or engine",
      '2:35 vars.u: "https://***@host/x" holds a user or a password, which would get into the pins',
      '3:9 arch.vax: "vax" is not a platform, such as linux/arm64 or aarch64',
      '3:29 arch.linux/arm64/v8: linux/arm64 is there already, as arm64',
      '4:21 partition.label: "averyveryverylonglabel" is longer than 16 bytes',
      '4:51 partition.size: 12 is not auto, or a size such as 1280M, 2G or a number of bytes, at least 1M',
      '4:65 partition.headroom: 5 is not a percentage up to 1000%, or a size such as 200M; 5 is 5 bytes, and 5% a share',
      '4:68 partition.sise: unknown key; did you mean size?',
      '4:90 partition.dataRoot: "../x" has .. in it',
      '5:20 engine.version: 28.5 is a number here, not text; put it in quotes: "28.5"',
      '5:32 engine.name: "podman" is not docker, the only engine of this version of stowage',
      '8:5 images.core: from is missing',
      '8:5 images.core.form: unknown key; did you mean from?',
      '9:11 images.core.tags: the same is there twice',
      '10:14 images.b.from: "sif:/x": images from sif: are not supported; there are docker://, containers-storage:, docker-archive:, docker-daemon:, oci-archive:, oci:, dir:',
      '11:5 images.c: it has no value; it must be a map of keys and values',
      '13:3 files./abs: "/abs" is absolute; paths begin at the partition\'s root, without /',
      '14:27 files.mode.mode: 0644 is a number here, not text; put it in quotes: "0644"',
      '15:9 files.both: it must have exactly one of url, text and json',
      '16:26 files.docker/x.json.a: a { without its } in "{nope"; write {{ for a brace',
      '17:3 files.tab\tx: "tab\\tx" has a control character',
      '18:1 extra: unknown key; there are stowage, vars, arch, catalog, partition, engine, images, files',
    ],
  );
});

const REFUSED: readonly (readonly [string, string, string])[] = [
  ['nothing', '', 'it is empty; a bundle begins with "stowage: 1"'],
  [
    'a list',
    '- 1',
    '1:1 stowage: it is not a map of keys and values; a bundle begins with "stowage: 1"',
  ],
  ['no version', IMAGE, '1:1 stowage: stowage is missing; a bundle begins with "stowage: 1"'],
  [
    'a newer format',
    `stowage: 2\nfuture: {}\n${IMAGE}`,
    '1:10 stowage: it is of format 2, and this version of stowage reads format 1; a newer one is wanted',
  ],
  [
    'a version in words',
    `stowage: "1"\n${IMAGE}`,
    '1:10 stowage: "1" is not the version of this format: 1',
  ],
  ['no image', 'stowage: 1', 'images: there is no image in it; images must name at least one'],
  ['a key twice', `stowage: 1\nvars: {}\nvars: {}\n${IMAGE}`, '3:1 this key is there twice'],
  [
    'a tag',
    `stowage: 1\nvars: { a: !env HOME }\n${IMAGE}`,
    '2:12 tags (!name) are not allowed here',
  ],
  [
    'a second document',
    `stowage: 1\n${IMAGE}\n---\nx: 1`,
    '3:1 a second document begins here; a bundle is one document',
  ],
  [
    'an unknown variable',
    'stowage: 1\nvars: { channel: x }\nimages: { x: { from: "docker://x:{chanel}" } }',
    '3:22 images.x.from: {chanel} is no variable; did you mean channel?',
  ],
  [
    'a catalog that is not there',
    'stowage: 1\nimages: { x: { from: "docker://x:{catalog.x}" } }',
    '2:22 images.x.from: {catalog.x} wants a catalog, and the bundle names none',
  ],
  [
    'a catalog within its address',
    `stowage: 1\ncatalog: "/{catalog.x}"\n${IMAGE}`,
    '2:10 catalog: {catalog.x} is in the catalog, whose own address this is',
  ],
  [
    'a file in the data root',
    `stowage: 1\n${IMAGE}\nfiles: { docker/x: { text: "" } }`,
    '3:10 files.docker/x: "docker/x" is in the engine\'s data root, docker',
  ],
  [
    'a file in place of the data root',
    `stowage: 1\npartition: { dataRoot: a/b }\n${IMAGE}\nfiles: { a: { text: "" } }`,
    '4:10 files.a: "a" is where the data root a/b must be',
  ],
  [
    'an image without transport',
    'stowage: 1\nimages: { x: { from: "alpine:3" } }',
    '2:22 images.x.from: "alpine:3" has no transport; write docker://alpine:3',
  ],
  [
    'a number that JSON lacks',
    `stowage: 1\n${IMAGE}\nfiles: { a: { json: { b: .inf } } }`,
    '3:21 files.a.json: it holds a number that JSON does not have (.inf or .nan)',
  ],
  [
    'a backslash',
    `stowage: 1\n${IMAGE}\nfiles: { 'a\\b': { text: "" } }`,
    '3:10 files.a\\b: "a\\\\b" has a backslash; names are separated by /',
  ],
  [
    'an empty name',
    `stowage: 1\n${IMAGE}\nfiles: { a//b: { text: "" } }`,
    '3:10 files.a//b: "a//b" has an empty name',
  ],
  [
    'a mode of three digits',
    `stowage: 1\n${IMAGE}\nfiles: { a: { text: "", mode: "644" } }`,
    '3:31 files.a.mode: "644" is not four octal digits in quotes, such as "0644"',
  ],
];
for (const [name, text, problem] of REFUSED) {
  test(`refuses ${name}`, () => {
    assert.deepEqual(problemsOf(text), [problem]);
  });
}

test('aliases that explode are refused at once', () => {
  const row = (name: string, of: string): string =>
    `${name}: &${name} [${Array(9).fill(of).join(',')}]`;
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  const rows = names.map((name, index) =>
    row(name, index === 0 ? 'x' : `*${names[index - 1] ?? ''}`),
  );
  assert.deepEqual(problemsOf(`stowage: 1\n${rows.join('\n')}`), [
    'its aliases (*name) repeat each other without end or too often',
  ]);
});

test('a name of 256 bytes does not fit in a directory', () => {
  const [problem = ''] = problemsOf(
    `stowage: 1\n${IMAGE}\nfiles: { ${'é'.repeat(128)}: { text: "" } }`,
  );
  assert.match(problem, /has a name longer than 255 bytes$/);
});

test('bundles merge name by name', () => {
  const bundle = readOk(
    'stowage: 1\nvars: { a: "1" }\narch: { arm64: aarch64 }\npartition: { label: one }\nimages: { x: { from: "docker://x:{b}" } }',
    'stowage: 1\nvars: { b: "2", a: "1" }\narch: { aarch64: aarch64 }\npartition: { size: 2G }\nimages: { y: { from: "docker://y:1" } }',
  );
  assert.deepEqual(bundle.files, ['a.yaml', 'b.yaml']);
  assert.deepEqual(bundle.vars, { a: '1', b: '2' });
  assert.deepEqual(Object.keys(bundle.images), ['x', 'y']);
  assert.equal(bundle.images['y']?.at.file, 'b.yaml');
  assert.equal(bundle.partition.label, 'one');
  assert.deepEqual(bundle.partition.size, { bytes: 2 * 1024 ** 3 });
});

const DISAGREEING: readonly (readonly [string, string, string])[] = [
  ['images.x', IMAGE, 'images: { x: { from: "docker://x:2" } }'],
  ['files.p/q', 'files: { p/q: { text: a } }', 'files: { p/q: { text: b } }'],
  ['vars.v', 'vars: { v: a }', 'vars: { v: b }'],
  ['partition.label', 'partition: { label: a }', 'partition: { label: b }'],
  ['engine.version', 'engine: { version: "1.0" }', 'engine: { version: "2.0" }'],
  ['arch.linux/arm64', 'arch: { arm64: a }', 'arch: { aarch64: b }'],
  ['catalog', 'catalog: /a', 'catalog: /b'],
];
for (const [path, one, other] of DISAGREEING) {
  test(`bundles may disagree on ${path}`, () => {
    assert.deepEqual(read(`stowage: 1\n${one}`, `stowage: 1\n${other}`), {
      ok: false,
      failure: { reason: 'bundles-disagree', path, files: ['a.yaml', 'b.yaml'] },
    });
    assert.notEqual(
      JSON.stringify(read(`stowage: 1\n${one}`, `stowage: 1\n${one}`)).includes('bundles-disagree'),
      true,
    );
  });
}

test('a flag that is none is told what it can be, and not what it is for', () => {
  assert.deepEqual(
    problemsOf(
      'stowage: 1\npartition: { label: d }\nengine: { version: "28.5.2", unpack: "no" }\nimages: {}\n',
    ).filter((problem) => problem.includes('unpack')),
    ['3:38 engine.unpack: "no" is not true or false'],
  );
});
