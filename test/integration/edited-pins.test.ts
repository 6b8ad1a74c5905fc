import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeImage, makeIndex } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** Whatever somebody changes in a pins file, the failure names its line, and blames neither bundle nor registry. */
const owner = fileOwner();
const registry = await startRegistry(owner);
const dir = temporaryTree(owner);
const bundle = join(dir, 'bundle.yaml');
const platform = 'linux/amd64';

const layer = (name: string): { 'etc/name': string } => ({ 'etc/name': name });
for (const name of ['one', 'two']) {
  const image = await makeImage({ platform, layers: [layer(name)] });
  await push(registry, `home/${name}:1`, makeIndex({ [platform]: image }));
}
const text = ['one', 'two'].map(
  (name) => `  ${name}: { from: 'docker://${registry.host}/home/${name}:1' }`,
);
writeFileSync(bundle, ['stowage: 1', 'images:', ...text, ''].join('\n'));

const OTHER = `sha256:${'a'.repeat(64)}`;

interface Part {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
}

interface Pinned {
  readonly reference: string;
  readonly manifest: Part;
  readonly config: Part;
  readonly layers: readonly Part[];
}

/** As pins have it on one line, so much larger. */
function sized(part: Part | undefined, more = 0): string {
  assert.ok(part !== undefined);
  return `"digest": "${part.digest}", "mediaType": "${part.mediaType}", "size": ${part.size + more} }`;
}

/** [what is changed, how, the pattern of the line that is named, the exit code, what is said after its number] */
const EDITS: readonly (readonly [
  string,
  (pins: string, two: Pinned) => string,
  RegExp,
  number,
  RegExp,
])[] = [
  [
    'the digest of a reference',
    (pins, { reference }) => pins.replace(reference, `${reference.split('@')[0] ?? ''}@${OTHER}`),
    /"reference": .*two/u,
    2,
    /: images\.two: its reference says sha256:aaaaaaaaaaaa…, and the digests beside it are of sha256:\w+…\n {2}hint: restore the file; or if the reference was moved on purpose, run `stowage pin` again and review what changes\n$/u,
  ],
  [
    'a manifest',
    (pins, { manifest }) => pins.replaceAll(manifest.digest, OTHER),
    /"manifest": .*sha256:a{64}/u,
    5,
    / names that digest: if it was edited, restore the file; else the registry has it no more: /u,
  ],
  [
    'a config',
    (pins, { config }) => pins.replaceAll(config.digest, OTHER),
    /"config": .*sha256:a{64}/u,
    3,
    /\): they name sha256:a{64}, which is no part of sha256:\w+\n {2}hint: pins are generated: restore the file, or run `stowage pin` again and review what changes\n$/u,
  ],
  [
    'a layer',
    (pins, { layers }) => pins.replaceAll(layers[0]?.digest ?? '', OTHER),
    /^ *\{ "digest": "sha256:a{64}"/u,
    3,
    /\): they name sha256:a{64}, which is no part of sha256:\w+\n {2}hint: pins are generated: /u,
  ],
  [
    'the size of a layer',
    (pins, { layers: [layer] }) => pins.replace(sized(layer), sized(layer, 1)),
    /^ *\{ "digest": .*"size": \d+/u,
    3,
    /\): they give sha256:\w+ \d+ bytes, and it has \d+\n {2}hint: pins are generated: /u,
  ],
  [
    'the size of a manifest',
    (pins, { manifest }) => pins.replace(sized(manifest), sized(manifest, 1)),
    /"manifest": /u,
    3,
    /\): they give sha256:\w+ \d+ bytes, and it has \d+\n {2}hint: pins are generated: /u,
  ],
  [
    'the platform of an image',
    (pins) =>
      pins.replace(
        /("two": \{(?:(?!"platform").)*"platform": )"linux\/amd64"/su,
        '$1"linux/arm64"',
      ),
    /"platform": "linux\/arm64"/u,
    2,
    /:\d+: targets\.\S+two\.platform: the image is for linux\/arm64, and the target is linux\/amd64\n {2}hint: pins are generated: /u,
  ],
];

for (const [what, edit, line, code, said] of EDITS)
  test(`${what} that somebody changed is found in the pins`, async (t) => {
    const { pins, ended, common } = await fetchWith(t, edit);
    assert.equal(ended.code, code, ended.stderr);
    const lines = readFileSync(pins, 'utf8').split('\n');
    const namedIn = (stderr: string): readonly [string, string] => {
      const named = /pins\.json:(\d+)(.*)$/su.exec(stderr);
      return [lines[Number(named?.[1]) - 1] ?? '', named?.[2] ?? ''];
    };
    const [at, after] = namedIn(ended.stderr);
    assert.match(at, line, ended.stderr);
    assert.match(after, said);
    assert.doesNotMatch(
      ended.stderr,
      /of this bundle any more|tell whoever|check name and tag|attempt/u,
    );
    if (code !== 3) return;
    const checked = await runStowage(t, ['pin', '--check', ...common]);
    assert.equal(checked.code, 3, checked.stderr);
    assert.deepEqual(namedIn(checked.stderr), [at, after]);
    assert.match(checked.stderr, /^stowage: two: /mu);
  });

test('pins that can not be read are to be mended, or made again', async (t) => {
  const { pins, common } = await fetchWith(t, (text) => `<<<<<<< ours\n${text}`);
  const pinned = await runStowage(t, ['pin', ...common]);
  assert.equal(pinned.code, 2, pinned.stderr);
  assert.match(
    pinned.stderr,
    /hint: .*take either side\), or remove it and run `stowage pin` for each target/u,
  );
  rmSync(pins);
  assert.equal((await runStowage(t, ['pin', ...common])).code, 0);
});

test('what is pinned is compared with its manifest after the tag has moved too', async (t) => {
  const platform = 'linux/arm64';
  const moving = async (text: string): Promise<void> => {
    const image = await makeImage({ platform, layers: [layer(text)] });
    await push(registry, 'home/moving:1', makeIndex({ [platform]: image }));
  };
  const own = temporaryTree(t);
  const [product, pins] = [join(own, 'product.yaml'), join(own, 'pins.json')];
  const from = `docker://${registry.host}/home/moving:1`;
  writeFileSync(product, `stowage: 1\nimages: { moving: { from: '${from}' } }\n`);
  const common = ['-b', product, '-p', pins, '--loader', 'direct', '--platform', platform];
  await moving('before');
  assert.equal((await runStowage(t, ['pin', ...common])).code, 0);
  await moving('after');
  const moved = await runStowage(t, ['pin', '--check', ...common]);
  assert.equal(moved.code, 8, moved.stderr);
  const text = readFileSync(pins, 'utf8');
  writeFileSync(
    pins,
    text.replace(/("layers": \[\s+\{ "digest": "sha256:)\w{64}/u, `$1${'a'.repeat(64)}`),
  );
  const edited = await runStowage(t, ['pin', '--check', ...common]);
  assert.equal(edited.code, 3, edited.stderr);
  assert.match(
    edited.stderr,
    /^stowage: moving: .*: they name sha256:a{64}, which is no part of /mu,
  );
});

test('every image of another platform is named at once', async (t) => {
  const { ended } = await fetchWith(t, (pins) =>
    pins.replaceAll(/(\n {10}"platform": )"linux\/amd64"/gu, '$1"linux/arm64"'),
  );
  assert.equal(ended.code, 2, ended.stderr);
  for (const name of ['one', 'two'])
    assert.match(
      ended.stderr,
      new RegExp(
        `pins\\.json:\\d+:\\d+: \\S+\\.${name}\\.platform: the image is for linux/arm64`,
        'u',
      ),
    );
  const pins = join(temporaryTree(t), 'pins.json');
  const pinned = await runStowage(t, [
    'pin',
    '-b',
    bundle,
    '-p',
    pins,
    '--loader',
    'direct',
    '--platform',
    'linux/s390x',
  ]);
  assert.equal(pinned.code, 5, pinned.stderr);
  assert.match(
    pinned.stderr,
    /^stowage: one: \S+\/home\/one:1 has no image for linux\/s390x; it has: linux\/amd64\ntwo: \S+\/home\/two:1 has no image for linux\/s390x; it has: linux\/amd64\n {2}hint: /mu,
  );
});

async function fetchWith(
  t: TestContext,
  edit: (pins: string, two: Pinned) => string,
): Promise<{
  pins: string;
  ended: Awaited<ReturnType<typeof runStowage>>;
  common: readonly string[];
}> {
  const own = temporaryTree(t);
  const pins = join(own, 'pins.json');
  const common = ['-b', bundle, '-p', pins, '--loader', 'direct', '--platform', platform];
  const pinned = await runStowage(t, ['pin', ...common]);
  assert.equal(pinned.code, 0, pinned.stderr);
  const before = readFileSync(pins, 'utf8');
  const document = JSON.parse(before) as {
    targets: Record<string, { images: Record<string, Pinned> }>;
  };
  const two = document.targets[platform]?.images['two'];
  assert.ok(two !== undefined);
  const after = edit(before, two);
  assert.notEqual(after, before);
  writeFileSync(pins, after);
  const store = ['-s', join(own, 'store'), '--frozen', '--retry-delays', '0'];
  return { pins, common, ended: await runStowage(t, ['fetch', ...common, ...store]) };
}
