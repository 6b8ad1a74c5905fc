import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesIn } from '../../../src/fetch/registries-directory.ts';

const DOCUMENTS = [
  {
    'default-docker': { sigstore: 'file:///default' },
    docker: { 'ghcr.io': { lookaside: 'https://host/', 'use-sigstore-attachments': true } },
  },
  { docker: { 'ghcr.io/a': { sigstore: 'https://narrow' }, '*.corp': { lookaside: 'file:///c' } } },
];

const CASES: readonly (readonly [string, string | undefined, boolean])[] = [
  ['ghcr.io/x/y', 'https://host/', true],
  ['ghcr.io/a/b', 'https://narrow', true],
  ['registry.corp/a', 'file:///c', false],
  ['docker.io/library/x', 'file:///default', false],
];
for (const [name, lookaside, attachments] of CASES)
  test(`${name} has its signatures at ${lookaside ?? 'nowhere'}`, () => {
    assert.deepEqual(placesIn(DOCUMENTS, name), { lookaside, attachments });
  });

test('where nothing is said there are none', () => {
  assert.deepEqual(placesIn([undefined, {}, { docker: 'x' }, []], 'a/b'), { attachments: false });
});
