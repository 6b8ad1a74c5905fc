import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../../src/model/digest.ts';
import { formatPins, parsePins, targetKey } from '../../../src/model/pins-document.ts';
import { arbitraryPins, imagePin, pinsOf, targetPins } from './pins-sample.ts';

function problemsOf(text: string): readonly string[] {
  const pins = parsePins(text, 'pins.json');
  assert.ok(!pins.ok, 'it was read');
  assert.equal(pins.failure.kind, 'pins');
  assert.equal(pins.failure.file, 'pins.json');
  return pins.failure.problems.map(
    ({ line, column, path, detail }) =>
      `${line === undefined ? '' : `${line}:${column ?? 0} `}${path === undefined ? '' : `${path}: `}${detail}`,
  );
}

const d = (seed: string): string => digestOf(seed);

test('the form on disk', () => {
  const { target, images, files } = targetPins({ machine: 'rpi4', set: { channel: 'beta' } });
  assert.equal(
    formatPins(pinsOf({ target, images, files })),
    `{
  "stowage-pins": 1,
  "targets": {
    "linux/arm64 rpi4 channel=beta": {
      "files": {
        "a/b.json": { "mode": "0644", "sha256": "${d('{}\n')}", "size": 3 }
      },
      "images": {
        "core": {
          "config": { "digest": "${d('core config')}", "mediaType": "application/vnd.oci.image.config.v1+json", "size": 11 },
          "index": "${d('core index')}",
          "layers": [
            { "digest": "${d('core layer')}", "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 10 }
          ],
          "manifest": { "digest": "${d('core manifest')}", "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 13 },
          "names": [
            "ghcr.io/x/core:1"
          ],
          "platform": "linux/arm64",
          "reference": "ghcr.io/x/core:1@${d('core index')}"
        }
      },
      "target": {
        "machine": "rpi4",
        "platform": "linux/arm64",
        "set": {
          "channel": "beta"
        }
      }
    }
  }
}
`,
  );
});

test('what is written is read as the same, and written again as the same bytes', () => {
  fc.assert(
    fc.property(arbitraryPins, (pins) => {
      const text = formatPins(pins);
      const read = parsePins(text, 'pins.json');
      assert.ok(read.ok, JSON.stringify(read));
      assert.deepEqual(read.value, pins);
      assert.equal(formatPins(read.value), text);
      assert.deepEqual(JSON.parse(text), { 'stowage-pins': 1, targets: pins.targets });
    }),
    { numRuns: 60 },
  );
});

test('the order of keys makes no difference', () => {
  const one = targetPins();
  const two = targetPins({ platform: 'linux/amd64' });
  assert.equal(formatPins(pinsOf(one, two)), formatPins(pinsOf(two, one)));
  assert.ok(formatPins(pinsOf(one, two)).startsWith(formatPins(pinsOf(two)).slice(0, 60)));
});

test('targets have readable names that nothing else has', () => {
  assert.equal(targetKey({ platform: 'linux/arm64', set: {} }), 'linux/arm64');
  assert.equal(
    targetKey({ platform: 'linux/arm64', machine: 'rpi4', set: { b: '2', a: '1' } }),
    'linux/arm64 rpi4 a=1 b=2',
  );
  assert.equal(
    targetKey({ platform: 'linux/arm64', set: { a: '1 b=2%' } }),
    'linux/arm64 a=1%20b=2%25',
  );
});

const good = formatPins(pinsOf(targetPins()));
const edit = (from: string, to: string): string => {
  assert.ok(good.includes(from), from);
  return good.replace(from, to);
};
const REFUSED: readonly (readonly [string, string, readonly string[]])[] = [
  ['an empty file', ' \n', ['it is empty; write it with stowage pin']],
  [
    'another document',
    '{}',
    ['it is no pins file: "stowage-pins": 1 is missing; write pins with stowage pin'],
  ],
  [
    'a list',
    '[]',
    ['it is no pins file: "stowage-pins": 1 is missing; write pins with stowage pin'],
  ],
  [
    'a newer format',
    '{"stowage-pins": 2, "goals": {}}',
    [
      'it is of format 2, and this version of stowage reads format 1; a newer stowage wrote it and can read it',
    ],
  ],
  [
    'marks of a merge conflict',
    '{\n<<<<<<< ours\n"stowage-pins": 1\n',
    ['2:1 it holds the marks of a merge conflict; take either side and run stowage pin'],
  ],
  [
    'a digest that is too short',
    edit(d('core config'), 'sha256:12'),
    [
      '23:33 targets.linux/arm64.images.core.config.digest: "sha256:12" is not a digest: sha256: and 64 lower-case hexadecimal digits',
    ],
  ],
  [
    'an unknown key',
    edit('"names"', '"nmes"'),
    ['29:11 targets.linux/arm64.images.core.nmes: unknown key; did you mean names?'],
  ],
  [
    'a reference without digest',
    edit(`ghcr.io/x/core:1@${d('core index')}`, 'ghcr.io/x/core:1'),
    ['targets.linux/arm64.images.core.reference: "ghcr.io/x/core:1" has no digest'],
  ],
  [
    'a target under the name of another',
    edit('"linux/arm64": {\n', '"linux/amd64": {\n'),
    ['targets.linux/amd64.target: the target is called linux/amd64 and is linux/arm64'],
  ],
  [
    'a file outside of the partition',
    edit('"a/b.json"', '"../b.json"'),
    ['targets.linux/arm64.files.../b.json: "../b.json" has .. in it'],
  ],
];
for (const [name, text, problems] of REFUSED) {
  test(`refuses ${name}`, () => {
    const found = problemsOf(text);
    for (const problem of problems) {
      assert.ok(
        found.some((line) => line === problem || line.endsWith(` ${problem}`)),
        `${problem}\nis not among\n${found.join('\n')}`,
      );
    }
  });
}

test('a syntax error has its line and column', () => {
  assert.match(problemsOf('{\n  "stowage-pins": 1,')[0] ?? '', /^2:21 it is not JSON here: /);
  const [problem = ''] = problemsOf('{\n  "stowage-pins": 1\n  "targets": {}\n}');
  assert.match(problem, /^3:3 it is not JSON here: Expected ',' or '}' after property value/);
});

test('a reference that a bot edited is read: comparing tells that it is stale', () => {
  const pin = imagePin('ghcr.io/x/core:1', 'core');
  const edited = { ...pin, reference: `ghcr.io/x/core:2@${d('other')}` };
  const pins = pinsOf({ ...targetPins(), images: { core: edited } });
  assert.deepEqual(parsePins(formatPins(pins), 'pins.json'), { ok: true, value: pins });
});

test('where a local image is, and the index that is kept, are checked', () => {
  const pin = imagePin('ghcr.io/x/core:1', 'core');
  const written = (change: object): string =>
    formatPins(pinsOf({ ...targetPins(), images: { core: { ...pin, ...change } } }));
  const index = { digest: digestOf('core index'), mediaType: 'application/x', size: 3 };
  const good = parsePins(written({ from: 'oci:x:y', keptIndex: index }), 'pins.json');
  assert.ok(good.ok, JSON.stringify(good));
  assert.match(problemsOf(written({ from: 'docker://x' }))[0] ?? '', /is a registry's/);
  assert.match(problemsOf(written({ from: 'oci:' }))[0] ?? '', /names no file or directory/);
  const other = { ...index, digest: digestOf('other') };
  assert.match(problemsOf(written({ keptIndex: other }))[0] ?? '', /not the index of the image/);
});
