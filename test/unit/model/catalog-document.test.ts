import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCatalog, recalledCatalog } from '../../../src/model/catalog-document.ts';
import type { Result } from '../../../src/model/result.ts';
import type { InvalidDocument } from '../../../src/model/failure.ts';

const FROM = 'https://example.org/stable.json';

function detailOf(result: Result<unknown, InvalidDocument>): string | undefined {
  assert.ok(!result.ok);
  assert.equal(result.failure.kind, 'catalog');
  assert.equal(result.failure.file, FROM);
  return result.failure.problems[0]?.detail;
}

const REFUSED: readonly (readonly [string, string | RegExp])[] = [
  ['', 'it is empty'],
  [' <!DOCTYPE html><p>', 'it is a web page (HTML or XML), not JSON'],
  ['[1]', 'it is a list; a catalog is a JSON object'],
  ['null', 'it is null; a catalog is a JSON object'],
  ['"x"', 'it is text; a catalog is a JSON object'],
  ['{"a":', /^it is not JSON: /],
];
for (const [text, detail] of REFUSED) {
  test(`a catalog is not ${JSON.stringify(text)}`, () => {
    const found = detailOf(parseCatalog(text, FROM)) ?? '';
    if (typeof detail === 'string') assert.equal(found, detail);
    else assert.match(found, detail);
  });
}

const catalog = parseCatalog(
  '\uFEFF{"supervisor":"2026.07.5","build":7,"images":{"dns":"ghcr.io/{arch}-dns"},"no":null,"list":[1]}',
  FROM,
);
assert.ok(catalog.ok);
const { lookup, has } = catalog.value;

test('text and numbers are found by their path', () => {
  assert.deepEqual(lookup('supervisor'), { ok: true, value: '2026.07.5' });
  assert.deepEqual(lookup('build'), { ok: true, value: '7' });
  assert.deepEqual(lookup('images.dns'), { ok: true, value: 'ghcr.io/{arch}-dns' });
});

test('it is known what is there, whatever it is', () => {
  for (const path of ['supervisor', 'images', 'images.dns', 'no']) assert.ok(has(path), path);
  for (const path of ['core', 'images.audio', 'supervisor.x', 'no.x', 'toString', ''])
    assert.ok(!has(path), path);
});

const MISSING: readonly (readonly [string, string])[] = [
  ['supervisr', 'the catalog has no "supervisr"; did you mean supervisor?'],
  ['core', 'the catalog has no "core"; there are supervisor, build, images, no, list'],
  ['images.audio', 'images has no "audio"; there is dns'],
  ['images', 'it is an object; text or a number is wanted'],
  ['list', 'it is a list; text or a number is wanted'],
  ['no', 'it is null; text or a number is wanted'],
  ['supervisor.x', 'supervisor is text, with nothing in it'],
  ['toString', 'the catalog has no "toString"; there are supervisor, build, images, no, list'],
];
for (const [path, detail] of MISSING) {
  test(`the path ${path} leads nowhere`, () => {
    assert.equal(detailOf(lookup(path)), detail);
  });
}

test('the pins recall what was used and nothing else', () => {
  const recalled = recalledCatalog(FROM, { supervisor: '1' });
  assert.deepEqual(recalled.lookup('supervisor'), { ok: true, value: '1' });
  assert.equal(detailOf(recalled.lookup('dns')), 'it is not among the values that were pinned');
});
