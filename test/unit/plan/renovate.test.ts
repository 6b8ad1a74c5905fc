import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parsePins, formatPins } from '../../../src/model/pins-document.ts';
import { imagePin, targetPins } from '../model/pins-sample.ts';

interface Manager {
  readonly customType: string;
  readonly managerFilePatterns: readonly string[];
  readonly matchStrings: readonly string[];
  readonly datasourceTemplate: string;
  readonly versioningTemplate: string;
  readonly autoReplaceStringTemplate?: string;
}

const page = readFileSync(new URL('../../../docs/renovate.md', import.meta.url), 'utf8');
const configuration = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? '') as {
  customManagers: readonly [Manager, Manager];
};
const [pinsManager, bundleManager] = configuration.customManagers;

/** As Renovate runs it: over the whole file, every match. */
function matches(manager: Manager, text: string): Record<string, string>[] {
  return manager.matchStrings.flatMap((expression) => {
    // What RE2 has not: looking ahead or behind, referring back.
    assert.doesNotMatch(expression, /\(\?[=!]|\(\?<[=!]|\\[1-9]|\\k</);
    return [...text.matchAll(new RegExp(expression, 'g'))].map((match) => ({ ...match.groups }));
  });
}

const digestOf = (reference: string): string => reference.slice(reference.indexOf('@') + 1);

test('Renovate finds each image of the pins, and the dind image, with name, tag and digest', () => {
  const images = {
    core: imagePin('ghcr.io/home-assistant/core:2026.8.3', 'core'),
    web: imagePin('docker.io/library/nginx:1.29-alpine_3.v2', 'web'),
    local: imagePin('registry.example:5000/team/app:v1', 'local'),
  };
  const text = formatPins({
    targets: {
      'linux/arm64': { ...targetPins(), images },
      'linux/amd64': targetPins({ platform: 'linux/amd64' }),
    },
  });
  assert(parsePins(text, 'pins.json').ok);
  const expected = [
    ...Object.values(images).map(({ reference }) => reference),
    targetPins().images['core']?.reference ?? '',
    ...[1, 2].map(() => targetPins().dind?.reference ?? ''),
  ].sort();
  const found = matches(pinsManager, text);
  assert.deepEqual(
    found
      .map((groups) => `${groups['depName']}:${groups['currentValue']}@${groups['currentDigest']}`)
      .sort(),
    expected,
  );
  assert.deepEqual(
    found.find((groups) => groups['depName']?.startsWith('registry.example')),
    {
      depName: 'registry.example:5000/team/app',
      currentValue: 'v1',
      currentDigest: digestOf(images.local.reference),
    },
  );
});

test('what Renovate writes in its place is read again, and only the digest differs', () => {
  const text = formatPins({ targets: { 'linux/arm64': targetPins() } });
  const [expression = ''] = pinsManager.matchStrings;
  const match = new RegExp(expression, 'g').exec(text);
  assert(match !== null);
  const values: Record<string, string | undefined> = {
    depName: match.groups?.['depName'],
    newValue: match.groups?.['currentValue'],
    newDigest: `sha256:${'0'.repeat(64)}`,
  };
  const replaced = (pinsManager.autoReplaceStringTemplate ?? '').replace(
    /\{\{\{(\w+)\}\}\}/g,
    (_, name: string) => values[name] ?? '?',
  );
  const edited = text.replace(match[0], replaced);
  assert.equal(edited.length, text.length);
  assert(parsePins(edited, 'pins.json').ok);
  assert(edited.includes(`@sha256:${'0'.repeat(64)}"`));
});

test('Renovate finds the tags of a bundle, and leaves templates alone', () => {
  const bundle = [
    'images:',
    '  app:',
    '    from: docker://registry.example/app:1.4',
    '  quoted: { from: "docker://registry.example:5000/team/quoted:v2", tags: ["x:latest"] }',
    '  short: { from: docker://alpine:3.22 }',
    '  catalog: { from: "docker://{catalog.images.core}:{catalog.core}" }',
    '  arch: { from: "docker://ghcr.io/x/{arch}-app:1" }',
    `  fixed: { from: "docker://registry.example/fixed:1@sha256:${'a'.repeat(64)}" }`,
    '  archive: { from: "oci-archive:app.tar:1" }',
    '',
  ].join('\n');
  assert.deepEqual(matches(bundleManager, bundle), [
    { depName: 'registry.example/app', currentValue: '1.4' },
    { depName: 'registry.example:5000/team/quoted', currentValue: 'v2' },
    { depName: 'alpine', currentValue: '3.22' },
  ]);
});

test('the managers say what Renovate needs to know', () => {
  for (const manager of configuration.customManagers) {
    assert.equal(manager.customType, 'regex');
    assert.equal(manager.datasourceTemplate, 'docker');
    assert.equal(manager.versioningTemplate, 'docker');
    assert(manager.managerFilePatterns.every((pattern) => /^\/.*\/$/.test(pattern)));
  }
  const [pattern = ''] = pinsManager.managerFilePatterns;
  const files = new RegExp(pattern.slice(1, -1));
  assert.deepEqual(
    ['pins.json', 'a/pins.json', 'a/spins.json'].map((file) => files.test(file)),
    [true, true, false],
  );
});
