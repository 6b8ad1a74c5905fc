import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import bundleSchema from '../../../schema/bundle.schema.json' with { type: 'json' };
import pinsSchema from '../../../schema/pins.schema.json' with { type: 'json' };
import { formatPath, schemaCheck } from '../../../src/model/json-schema.ts';

for (const [name, schema] of Object.entries({ bundleSchema, pinsSchema })) {
  test(`${name} is a schema of draft 7`, () => {
    const ajv = new Ajv({ allowUnionTypes: true });
    assert.equal(ajv.validateSchema(schema), true, ajv.errorsText());
    assert.throws(() => ajv.compile({ ...schema, type: 'nonsense' }));
  });
}

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
