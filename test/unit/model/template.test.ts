import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fail, ok } from '../../../src/model/result.ts';
import { fillTemplate, namesIn, parseTemplate } from '../../../src/model/template.ts';

const VALUES: Readonly<Record<string, string>> = {
  arch: 'aarch64',
  machine: 'rpi4',
  'catalog.images.dns': 'ghcr.io/h/{arch}-dns',
  'catalog.homeassistant.rpi4': '2026.8.3',
  loop: '{pool}',
  pool: 'x{loop}',
  d0: 'deep',
  wide0: 'x',
  ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`d${i + 1}`, `{d${i}}`])),
  ...Object.fromEntries(
    Array.from({ length: 7 }, (_, i) => [`wide${i + 1}`, `{wide${i}}`.repeat(5)]),
  ),
};

const fill = (text: string): ReturnType<typeof fillTemplate> =>
  fillTemplate(
    text,
    (name) => {
      const value = VALUES[name];
      return value === undefined ? fail({ detail: `no ${name}` }) : ok(value);
    },
    (name) => name in VALUES,
  );

const FILLED: readonly (readonly [string, string])[] = [
  ['', ''],
  ['plain', 'plain'],
  ['{arch}', 'aarch64'],
  ['docker://{catalog.images.dns}:1', 'docker://ghcr.io/h/aarch64-dns:1'],
  ['{catalog.homeassistant.{machine}}', '2026.8.3'],
  ['{{arch}}', '{arch}'],
  ['{{"a":"{arch}"}}', '{"a":"aarch64"}'],
  ['{arch}{machine}', 'aarch64rpi4'],
  ['{d7}', 'deep'],
  ['{arch|machine}', 'aarch64'],
  ['{catalog.homeassistant.green|arch}', 'aarch64'],
  ['{nope|catalog.homeassistant.{machine}|arch}', '2026.8.3'],
];
for (const [text, filled] of FILLED) {
  test(`${text || 'nothing'} becomes ${filled || 'nothing'}`, () => {
    assert.deepEqual(fill(text), { ok: true, value: filled });
  });
}

const REFUSED: readonly (readonly [string, string])[] = [
  ['{nope}', 'no nope'],
  ['{', 'a { without its } in "{"; write {{ for a brace'],
  ['a}', 'a } without its { in "a}"; write }} for a brace'],
  ['{}', '{} in "{}" names nothing'],
  ['{|arch}', 'a | with no name beside it in "{|arch}" names nothing'],
  ['{arch|}', 'a | with no name beside it in "{arch|}" names nothing'],
  ['{arch||machine}', 'a | with no name beside it in "{arch||machine}" names nothing'],
  ['{nope|nor}', 'no nor'],
  ['{nope|loop}', '{loop} leads back to itself: loop → pool → loop'],
  [
    '{"a":1}',
    "\"\\\"a\\\":1\" between braces is not a name: letters, digits, '_', '-' and '.'; write {{ and }} for braces",
  ],
  ['{loop}', '{loop} leads back to itself: loop → pool → loop'],
  ['{d9}', '{d1} is 8 values deep: d9 → d8 → d7 → d6 → d5 → d4 → d3 → d2'],
  ['{wide7}', 'it asks for more than 1000 values'],
];
for (const [text, detail] of REFUSED) {
  test(`refuses ${text}`, () => {
    assert.deepEqual(fill(text), { ok: false, failure: { detail } });
  });
}

test('what the lookup fails with is handed on', () => {
  const failure = { reason: 'mine' } as const;
  assert.deepEqual(
    fillTemplate('{x}', () => fail(failure)),
    { ok: false, failure },
  );
});

test('names are known before their values', () => {
  const parts = parseTemplate('{a}{{b}}{catalog.x.{machine}|catalog.y}');
  assert.ok(parts.ok);
  assert.deepEqual(namesIn(parts.value), ['a', 'catalog.x.', 'machine', 'catalog.y']);
});

test('text with its braces doubled stays as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('{', '}', 'a', '"', ' ') }), (text) => {
      assert.deepEqual(fill(text.replace(/[{}]/g, '$&$&')), { ok: true, value: text });
    }),
  );
});
