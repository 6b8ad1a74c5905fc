import type { SchemaObject, ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';

/** In the one-file bundle scripts/compile-schemas.mjs puts checks that were compiled before in this module's place. */
export function compileSchema(schema: SchemaObject): ValidateFunction {
  return new Ajv({
    allErrors: true,
    verbose: true,
    allowUnionTypes: true,
    // Schemas are checked by test/unit/model/json-schema.test.ts.
    meta: false,
    validateSchema: false,
  }).compile(schema);
}
