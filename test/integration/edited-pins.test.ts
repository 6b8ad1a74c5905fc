import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
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

interface Pinned {
  readonly reference: string;
  readonly manifest: { readonly digest: string };
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
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
    /"two": /u,
    3,
    /\): they name sha256:a{64}, which is no part of sha256:\w+\n {2}hint: pins are generated: restore the file, or run `stowage pin` again and review what changes\n$/u,
  ],
  [
    'a layer',
    (pins, { layers }) => pins.replaceAll(layers[0]?.digest ?? '', OTHER),
    /"two": /u,
    3,
    /\): they name sha256:a{64}, which is no part of sha256:\w+\n {2}hint: pins are generated: /u,
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
    const { pins, ended } = await fetchWith(t, edit);
    assert.equal(ended.code, code, ended.stderr);
    const lines = readFileSync(pins, 'utf8').split('\n');
    const named = /pins\.json:(\d+)(.*)$/su.exec(ended.stderr);
    assert.match(lines[Number(named?.[1]) - 1] ?? '', line, ended.stderr);
    assert.match(named?.[2] ?? '', said);
    assert.doesNotMatch(ended.stderr, /of this bundle any more|tell whoever|check name and tag/u);
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
): Promise<{ pins: string; ended: Awaited<ReturnType<typeof runStowage>> }> {
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
  return { pins, ended: await runStowage(t, ['fetch', ...common, ...store]) };
}
