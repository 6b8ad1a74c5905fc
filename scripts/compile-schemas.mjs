// Compiles the JSON Schemas when the one file is made: doing it at every start takes longer than a warm fetch, and
// the compiler is a quarter of the file.
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { readFileSync, readdirSync } from 'node:fs';

/** The same as in src/model/compile-schema.ts, which this takes the place of. */
const OPTIONS = {
  allErrors: true,
  verbose: true,
  allowUnionTypes: true,
  meta: false,
  validateSchema: false,
};

/** The text of a module that exports the check of one schema. */
export function validatorModule(schema) {
  const ajv = new Ajv({ ...OPTIONS, code: { source: true, esm: true } });
  return standalone.default(ajv, ajv.compile(schema));
}

/** An esbuild plugin. `root` ends in a slash. */
export function compiledSchemas(root) {
  const directory = `${root}schema/`;
  const names = readdirSync(directory).filter((name) => name.endsWith('.schema.json'));
  return {
    name: 'compiled-schemas',
    setup(build) {
      build.onLoad({ filter: /\/src\/model\/compile-schema\.ts$/ }, () => ({
        resolveDir: root,
        contents: [
          ...names.map(
            (name, index) => `import s${index} from './schema/${name}' with { type: 'json' };`,
          ),
          ...names.map((name, index) => `import v${index} from 'validator:${name}';`),
          `const compiled = new Map([${names.map((_, index) => `[s${index}, v${index}]`).join(', ')}]);`,
          'export const compileSchema = (schema) => compiled.get(schema);',
        ].join('\n'),
      }));
      build.onResolve({ filter: /^validator:/ }, ({ path }) => ({
        path: path.slice('validator:'.length),
        namespace: 'validator',
      }));
      build.onLoad({ filter: /.*/, namespace: 'validator' }, ({ path }) => ({
        resolveDir: root,
        contents: validatorModule(JSON.parse(readFileSync(directory + path, 'utf8'))),
        watchFiles: [directory + path],
      }));
    },
  };
}
