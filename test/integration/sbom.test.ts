import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { offersDebian } from '../rig/dind-image.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { must } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { skip } from '../rig/skip.ts';
import { spdxJudge } from '../rig/spdx-judge.ts';
import type { StowageOptions } from '../rig/stowage.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import type { Raw } from '../unit/sbom/spdx-rules.ts';
import { problemsOf } from '../unit/sbom/spdx-rules.ts';
import { alpineLayer, APK_DATABASE, debianLayer, rpmDatabase } from './sbom-fixture.ts';

/** stowage sbom from images of real packages in a registry to documents, and how it ends where it can't. */
const owner = fileOwner();
const dir = temporaryTree(owner);
const registry = await startRegistry(owner);
const [amd64, arm64] = ['linux/amd64', 'linux/arm64'] as const;
const debian = await debianLayer(owner);
const alpine = await alpineLayer(APK_DATABASE);
const Labels = {
  'org.opencontainers.image.licenses': 'Apache-2.0 AND MIT',
  'org.opencontainers.image.source': 'https://example.org/app',
  'org.opencontainers.image.revision': '0123abc',
  'org.opencontainers.image.vendor': '=HYPERLINK("http://example.org")',
  'org.opencontainers.image.version': '2026.1',
};
const app = (platform: string): ReturnType<typeof makeImage> =>
  makeImage({ platform, layers: [debian.layer, { 'opt/app': platform }], config: { Labels } });
const both = { [amd64]: await app(amd64), [arm64]: await app(arm64) };
await push(registry, 'sbom/app:1', makeIndex(both));
const small = await makeImage({ platform: amd64, layers: [alpine.layer], format: 'docker' });
await push(registry, 'sbom/small:1', small);
/** Takes a while to unpack. */
const large = await makeLayer({
  'opt/noise': noise(7, 30_000_000),
  'opt/zeros': new Uint8Array(100_000_000),
});
const odd = await makeImage({
  platform: amd64,
  layers: [
    large,
    { 'usr/lib/sysimage/rpm/rpmdb.sqlite': rpmDatabase(), 'var/lib/rpm/Packages': 'old rpm' },
    { 'lib/apk/db/.wh.installed': '' },
  ],
});
await push(registry, 'sbom/odd:1', odd);

const [bundle, pins, store] = ['bundle.yaml', 'pins.json', 'store'].map((name) =>
  join(dir, name),
) as [string, string, string];
writeFileSync(
  bundle,
  `stowage: 1
arch: { ${amd64}: amd64, ${arm64}: arm64 }
vars: { small: small }
images:
  app: { from: 'docker://${registry.host}/sbom/app:1', tags: ['app:now'] }
files:
  etc/note: { text: a note }
`,
);
const full = join(dir, 'full.yaml');
writeFileSync(
  full,
  readFileSync(bundle, 'utf8').replace(
    'files:',
    `  small: { from: 'docker://${registry.host}/sbom/{small}:1' }
  odd: { from: 'docker://${registry.host}/sbom/odd:1' }
files:`,
  ),
);
const alone = join(dir, 'alone.yaml');
writeFileSync(
  alone,
  `stowage: 1\nimages: { small: { from: 'docker://${registry.host}/sbom/small:1' } }\n`,
);
const [one, input] = [join(dir, 'one.json'), ['-b', full, '-p', pins, '-s', store]];

/** Who asks may reach nobody. */
const ALONE: StowageOptions = { env: { http_proxy: 'http://127.0.0.1:9' } };

async function ends(
  t: TestContext,
  code: number,
  args: readonly string[],
  options: StowageOptions = ALONE,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const ended = await runStowage(t, args, options);
  assert.equal(ended.code, code, `${ended.stdout}${ended.stderr}`);
  return ended;
}

test('set-up: images are fetched, and the registry goes away', async (t) => {
  const fetch = (file: string, to: string, platform: string): string[] => [
    ...['fetch', '-b', file, '-p', to, '-s', store, '--loader', 'direct'],
    ...['--platform', platform],
  ];
  await ends(t, 0, fetch(full, pins, amd64));
  await ends(t, 0, fetch(bundle, one, amd64));
  await ends(t, 0, fetch(bundle, one, arm64));
  await ends(t, 0, fetch(alone, join(dir, 'alone.json'), amd64));
  await registry.stop();
});

const [output, manifest] = [join(dir, 'sbom.spdx.json'), join(dir, 'images.csv')];

test('it names every package that the package managers name', async (t) => {
  const args = ['sbom', ...input, '-o', output, '--manifest', manifest];
  const { stdout, stderr } = await ends(t, 0, args);
  const packages = debian.listed.length + alpine.listed.length + 2;
  assert.equal(
    stdout,
    `${output}: 3 images, ${packages} packages in them, 1 file\n${manifest}: 3 images\n`,
  );
  assert.match(
    stderr,
    /^stowage: warning: odd: var\/lib\/rpm\/Packages: a database of rpm that can't be read$/m,
  );
  const text = readFileSync(output, 'utf8');
  assert.deepEqual(problemsOf(text), []);
  const schema = process.env['SPDX_SCHEMA'];
  if (schema !== undefined && schema !== '') {
    const ajv = new Ajv({ strict: false, allErrors: true });
    const check = ajv.compile(JSON.parse(readFileSync(schema, 'utf8')) as object);
    assert.ok(check(JSON.parse(text)), JSON.stringify(check.errors));
  }
  const document = JSON.parse(text) as Raw;
  const containedIn = (image: string): string[] => {
    const whole = document.packages.find(({ name }) => name === `${registry.host}/sbom/${image}:1`);
    const parts = document.relationships
      .filter(({ spdxElementId }) => spdxElementId === whole?.SPDXID)
      .map(({ relatedSpdxElement }) => relatedSpdxElement);
    return document.packages
      .filter(({ SPDXID, externalRefs }) => parts.includes(SPDXID) && externalRefs !== undefined)
      .map(({ name, versionInfo = '' }) => `${name} ${versionInfo}`)
      .sort();
  };
  assert.deepEqual(containedIn('app'), [...debian.listed].sort());
  assert.deepEqual(containedIn('small'), [...alpine.listed].sort());
  assert.deepEqual(containedIn('odd'), ['alpha 1.0-3', 'beta 4:1.2-3']);
  const purls = document.packages.flatMap(({ externalRefs = [] }) =>
    externalRefs.map(({ referenceLocator }) => referenceLocator),
  );
  for (const pattern of [
    /^pkg:deb\/(?:debian|ubuntu)\/zlib1g@\d.*&upstream=zlib$/,
    /^pkg:deb\/\w+\/netbase@[\w.%]+\?arch=all&distro=\w+-[\d.]+$/,
    /^pkg:apk\/alpine\/busybox@1\.37\.0-r18\?arch=x86_64&distro=alpine-3\.22\.1$/,
    /^pkg:rpm\/beta@1\.2-3\?arch=noarch&epoch=4/,
    new RegExp(`^pkg:oci/small@${small.descriptor.digest}\\?arch=amd64&repository_url=`),
  ])
    assert.ok(
      purls.some((purl) => pattern.test(purl)),
      `${String(pattern)}\n${purls.join('\n')}`,
    );
  const declared = new Map(
    document.packages.map(({ name, licenseDeclared }) => [name, licenseDeclared]),
  );
  assert.equal(declared.get('busybox'), 'GPL-2.0-only');
  assert.match(declared.get('vendor-tool') ?? '', /^LicenseRef-custom-Vendor-EULA-/);
  assert.equal(declared.get('zlib1g'), 'NOASSERTION');
});

/** What makes a sound document one that is none, and what the judge says of it. */
const BREAKS: Readonly<Record<string, readonly [(document: Raw) => object, RegExp]>> = {
  'no namespace': [
    (document) => ({ ...document, documentNamespace: undefined }),
    /parameter document_namespace="None"/,
  ],
  'a namespace with a fragment': [
    (document) => ({ ...document, documentNamespace: 'https://example.org/a#b' }),
    /document_namespace must be a valid URI/,
  ],
  'a licence that is no expression': [
    (document) => changed(document, { licenseDeclared: 'MIT AND AND' }),
    /Error parsing LicenseExpression: "MIT AND AND"/,
  ],
  'a licence that is in no list': [
    (document) => changed(document, { licenseDeclared: 'LicenseRef-unheard-of' }),
    /^Unrecognized license reference: LicenseRef-unheard-of/,
  ],
  'a relation to nothing': [
    ({ relationships: [first, ...rest], ...document }) => ({
      ...document,
      relationships: [...rest, { ...first, relatedSpdxElement: 'SPDXRef-nothing' }],
    }),
    /did not find the referenced spdx_id "SPDXRef-nothing"/,
  ],
  'a name that SPDX does not know': [
    (document) => changed(document, { licence: 'MIT' }),
    /^document\.packages\[SPDXRef-[^\]]*\]: licence is unknown$/,
  ],
  'a checksum of a wrong length': [
    (document) => changed(document, { checksums: [{ algorithm: 'SHA256', checksumValue: 'ab' }] }),
    /must consist of 64 lowercase hexadecimal digits/,
  ],
};

function changed({ packages: [first, ...rest], ...document }: Raw, change: object): object {
  return { ...document, packages: [{ ...first, ...change }, ...rest] };
}

test("SPDX's own library finds nothing wrong, and would", async (t) => {
  if (!(await offersDebian())) {
    skip(t, "Debian's packages");
    return;
  }
  const judge = await spdxJudge();
  const documents = join(dir, 'judged');
  mkdirSync(documents);
  const sound = [
    ['debian', '-p', one],
    ['alpine', '-p', join(dir, 'alone.json')],
    ['all', '-p', pins],
  ] as const;
  const files = sound.map(([name]) => join(documents, `${name}.json`));
  for (const [i, [, ...of]] of sound.entries())
    await ends(t, 0, ['sbom', ...of, '-s', store, '-o', files[i] ?? '']);
  assert.deepEqual(await judge(files), [[], [], []]);
  const whole = JSON.parse(readFileSync(files.at(-1) ?? '', 'utf8')) as Raw;
  const broken = Object.entries(BREAKS).map(([name, [change]]) => {
    const file = join(documents, `${name}.json`);
    writeFileSync(file, JSON.stringify(change(whole)));
    return file;
  });
  const said = await judge(broken);
  for (const [i, [name, [, pattern]]] of Object.entries(BREAKS).entries())
    assert.match(said[i]?.join('\n') ?? '', pattern, name);
});

test('the manifest has a line for each image, and nothing that a spreadsheet runs', async () => {
  const script =
    'import csv,json,sys;print(json.dumps(list(csv.reader(open(sys.argv[1],newline=""),strict=True))))';
  const rows = JSON.parse(await must('python3', ['-c', script, manifest])) as string[][];
  assert.deepEqual(
    rows.map(([target, name]) => [target, name]),
    [['target', 'name'], ...['app', 'odd', 'small'].map((name) => [amd64, name])],
  );
  const index = makeIndex(both).descriptor.digest;
  assert.deepEqual(rows[1]?.slice(2), [
    `${registry.host}/sbom/app:1@${index}`,
    amd64,
    index,
    both[amd64].descriptor.digest,
    both[amd64].config.digest,
    ...['Apache-2.0 AND MIT', 'https://example.org/app', '0123abc'],
    ...['\'=HYPERLINK("http://example.org")', '2026.1'],
  ]);
  assert.equal(readFileSync(manifest, 'utf8').split('\r\n').length, 5);
});

test('all targets of the pins, or the one that is asked for', async (t) => {
  const args = ['sbom', '-p', one, '-s', store, '-o', output, '--json'];
  const { stdout } = await ends(t, 0, args);
  const told = JSON.parse(stdout) as {
    targets: string[];
    images: { name: string; distribution: string; packages: Record<string, number> }[];
  };
  assert.deepEqual(told.targets, [amd64, arm64]);
  assert.deepEqual(
    told.images.map(({ packages }) => packages),
    [{ dpkg: debian.listed.length }, { dpkg: debian.listed.length }],
  );
  const document = JSON.parse(readFileSync(output, 'utf8')) as Raw;
  assert.deepEqual(problemsOf(readFileSync(output, 'utf8')), []);
  // Both have the same packages, each of which is there once.
  assert.equal(document.packages.length, 2 + 1 + debian.listed.length + 1);
  for (const [extra, code] of [
    [['--platform', 'aarch64'], 0],
    [['-b', bundle, '--platform', 'arm64'], 0],
    [['-b', bundle], 0],
    [['--platform', 'armv7'], 2],
    [['--machine', 'board'], 2],
    [['-b', full], 2],
  ] as const)
    await ends(t, code, [...args, ...extra]);
});

test('the same pins give the same bytes, to whomever, wherever and whenever', async (t) => {
  const args = (to: string): string[] => [
    '-o',
    join(to, 'a.json'),
    '--manifest',
    join(to, 'a.csv'),
  ];
  const first = join(dir, 'first');
  mkdirSync(first);
  await ends(t, 0, ['sbom', ...input, ...args(first)]);
  const user = await unprivilegedUser(t);
  await ends(t, 0, ['sbom', ...input.slice(2), ...args(user.home)], {
    ...{ user, cwd: user.home },
    env: { TZ: 'Pacific/Auckland', LC_ALL: 'C' },
  });
  const epoch = { env: { SOURCE_DATE_EPOCH: '1700000001' } };
  for (const name of ['a.json', 'a.csv'])
    assert.ok(readFileSync(join(first, name)).equals(readFileSync(join(user.home, name))));
  const before = readFileSync(join(first, 'a.json'), 'utf8');
  assert.match(before, /"created": "2023-11-14T22:13:20Z"/);
  await ends(t, 0, ['sbom', ...input, ...args(first)], epoch);
  assert.match(readFileSync(join(first, 'a.json'), 'utf8'), /"created": "2023-11-14T22:13:21Z"/);
});

test('what is not there, damaged or not allowed ends with its code, and changes nothing', async (t) => {
  const place = join(dir, 'place');
  mkdirSync(place);
  const out = join(place, 'out.json');
  writeFileSync(out, 'as it was');
  writeFileSync(join(place, 'empty.json'), '');
  writeFileSync(join(place, 'stale.yaml'), readFileSync(full, 'utf8').replace(/odd:1/, 'odd:2'));
  const copy = join(place, 'store');
  const refuses = async (code: number, args: readonly string[], said: RegExp): Promise<void> => {
    const { stderr, stdout } = await ends(t, code, ['sbom', ...args]);
    assert.match(stderr, said);
    assert.equal(stdout, '');
    assert.equal(readFileSync(out, 'utf8'), 'as it was');
  };
  const to = ['-o', out];
  const of = ['-p', pins, '-s', store];
  await refuses(2, ['-p', join(place, 'no.json'), '-s', store, ...to], /run `stowage pin -p/);
  await refuses(2, ['-p', join(place, 'empty.json'), '-s', store, ...to], /it is empty/);
  await refuses(2, ['-b', join(place, 'stale.yaml'), ...of, ...to], /images\.odd/);
  await refuses(2, [...of, '-o', join(place, 'none', 'x')], /a file in a directory that exists/);
  await refuses(2, [...of, '-o', place], /and no directory or device/);
  await refuses(2, [...of, '-o', pins], /it is an input, and would be replaced/);
  symlinkSync(pins, join(place, 'link'));
  await refuses(2, [...of, ...to, '--manifest', pins], /it is an input/);
  await refuses(2, [...of, ...to, '--manifest', out], /another name than that of the SPDX/);
  await refuses(3, ['-p', pins, '-s', join(place, 'nothing'), ...to], /run `stowage fetch -s/);
  const blob = join(copy, 'blobs/sha256', large.digest.slice('sha256:'.length));
  const damage = async (change: () => void, said: RegExp): Promise<void> => {
    cpSync(store, copy, { recursive: true, verbatimSymlinks: true });
    chmodSync(blob, 0o644);
    change();
    await refuses(3, ['-p', pins, '-s', copy, ...to], said);
    rmSync(copy, { recursive: true });
  };
  await damage(() => {
    rmSync(blob);
  }, /^stowage: odd: sha256:\w+ is missing in .*\n {2}hint: run `stowage fetch/m);
  await damage(() => {
    truncateSync(blob, 1000);
  }, /odd: sha256:\w+ is of the wrong size in/);
  await damage(() => {
    const bytes = readFileSync(blob);
    bytes[20_000_000] = (bytes[20_000_000] ?? 0) ^ 0xff;
    writeFileSync(blob, bytes);
  }, /odd: sha256:\w+ is not what its name says in/);
  const user = await unprivilegedUser(t);
  const { stderr } = await ends(t, 6, ['sbom', ...of, '-o', join(place, 'x.json')], { user });
  assert.match(stderr, /x\.json: no right to do this while writing it/);
  const theirs = join(user.home, 'theirs.json');
  const half = ['-o', theirs, '--manifest', join(place, 'x.csv')];
  await ends(t, 6, ['sbom', ...of, ...half], { user });
  assert.ok(!readdirSync(user.home).includes('theirs.json'));
  assert.ok(!readdirSync(user.home).some((name) => name.startsWith('.new-')));
  await refuses(2, [...of, '-o', '/dev/full'], /and no directory or device/);
  assert.deepEqual(readdirSync(place).sort(), ['empty.json', 'link', 'out.json', 'stale.yaml']);
});

test('a dry run reads all and writes nothing', async (t) => {
  const to = join(dir, 'dry.json');
  const { stdout } = await ends(t, 0, [
    'sbom',
    '-n',
    ...input,
    '-o',
    to,
    '--manifest',
    `${to}.csv`,
  ]);
  assert.match(stdout, /^.*dry\.json: would be written: 3 images/);
  assert.ok(!readdirSync(dir).some((name) => name.startsWith('dry')));
  const json = await ends(t, 0, ['sbom', '-n', ...input, '-o', to, '--json', '--log', 'json']);
  assert.equal((JSON.parse(json.stdout) as { written: boolean }).written, false);
  const events = json.stderr
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
  assert.deepEqual(events, ['step', 'step', 'warning', 'step']);
});

test('a signal ends it, and leaves what was there', async (t) => {
  const place = join(dir, 'signal');
  mkdirSync(place);
  const to = join(place, 'x.json');
  writeFileSync(to, 'as it was');
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const running = startStowage(t, ['sbom', ...input, '-o', to], ALONE);
    await running.said(/read image: odd/);
    running.kill(signal);
    assert.equal((await running.ended).code, code);
    assert.equal(readFileSync(to, 'utf8'), 'as it was');
    assert.deepEqual(readdirSync(place), ['x.json']);
  }
});
