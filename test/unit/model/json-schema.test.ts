import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import bundleSchema from '../../../schema/bundle.schema.json' with { type: 'json' };
import pinsSchema from '../../../schema/pins.schema.json' with { type: 'json' };
import { compileSchema } from '../../../src/model/compile-schema.ts';
import { formatPath, schemaCheck } from '../../../src/model/json-schema.ts';

for (const [name, schema] of Object.entries({ bundleSchema, pinsSchema })) {
  test(`${name} is a schema of draft 7`, () => {
    const ajv = new Ajv({ allowUnionTypes: true });
    assert.equal(ajv.validateSchema(schema), true, ajv.errorsText());
    assert.throws(() => ajv.compile({ ...schema, type: 'nonsense' }));
  });
}

test('the checks compiled into the one file find what those compiled at run time find', async (t) => {
  const script = new URL('../../../scripts/compile-schemas.mjs', import.meta.url).href;
  const { validatorModule } = (await import(script)) as {
    validatorModule: (schema: object) => string;
  };
  const directory = mkdtempSync(join(import.meta.dirname, '.compiled-'));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const wrong = [
    {},
    [],
    null,
    { stowage: 2, images: { a: { from: 3, tags: ['x', 'x'] }, 'B C': {} }, extra: true },
    { 'stowage-pins': 1, targets: { x: { images: { a: { manifest: {} } } } } },
  ];
  for (const [name, schema] of Object.entries({ bundleSchema, pinsSchema })) {
    // In the checkout, so that what it requires of ajv is found.
    const file = join(directory, `${name}.mjs`);
    writeFileSync(
      file,
      `import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);\n${validatorModule(schema)}`,
    );
    const { default: before } = (await import(file)) as { default: ValidateFunction };
    const now = compileSchema(schema);
    for (const value of wrong) {
      assert.equal(before(value), now(value));
      assert.deepEqual(before.errors, now.errors);
    }
    assert(wrong.some((value) => !now(value) && (now.errors?.length ?? 0) > 1));
  }
});

test('each violation has its path and a phrase', () => {
  const check = schemaCheck({
    type: 'object',
    properties: { list: { type: 'array', items: { description: 'a word', type: 'string' } } },
    additionalProperties: false,
  });
  assert.deepEqual(check({ list: ['a'] }), []);
  assert.deepEqual(check({ list: ['a', {}, true], lits: 1 }), [
    { path: ['lits'], part: 'key', detail: 'unknown key; did you mean list?' },
    { path: ['list', 1], part: 'value', detail: 'a map of keys and values is not a word' },
    {
      path: ['list', 2],
      part: 'value',
      detail: 'true is true or false here, not text; put it in quotes: "true"',
    },
  ]);
  assert.equal(formatPath(['images', 'a', 'tags', 0]), 'images.a.tags[0]');
});
