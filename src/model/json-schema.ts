import type { ErrorObject, SchemaObject, ValidateFunction } from 'ajv';
import { compileSchema } from './compile-schema.ts';
import { suggestion } from './nearest-name.ts';

/** One violation of a schema: where, whether the key or the value is wrong, and why, as a phrase. */
export interface Violation {
  readonly path: readonly (string | number)[];
  readonly part: 'key' | 'value';
  readonly detail: string;
}

export type Check = (value: unknown, source?: Source) => readonly Violation[];

/** How a scalar is written in the text. */
type Source = (path: readonly (string | number)[]) => string | undefined;

/**
 * A check against a JSON Schema (draft 7), compiled when it is first used. A part's `description` in the schema
 * is what messages say is wanted there: `"x" is not <description>`.
 */
export function schemaCheck(schema: SchemaObject): Check {
  let validate: ValidateFunction | undefined;
  return (value, source = () => undefined) => {
    validate ??= compileSchema(schema);
    if (validate(value)) return [];
    return (validate.errors ?? []).flatMap((error) => describe(error, value, source));
  };
}

/** `images.core.tags[0]`. */
export function formatPath(path: readonly (string | number)[]): string {
  return path
    .map((name, index) =>
      typeof name === 'number' ? `[${name}]` : index === 0 ? name : `.${name}`,
    )
    .join('');
}

function describe(error: ErrorObject, root: unknown, source: Source): Violation[] {
  // What says the same again: the branches of a choice, and the rule that a key's name broke.
  if (/\/(?:oneOf\/\d+|propertyNames)\//.test(error.schemaPath)) return [];
  const path = pathOf(error.instancePath, root);
  const parent = (error.parentSchema ?? {}) as SchemaObject;
  const params = error.params as Readonly<Record<string, unknown>>;
  const value = (detail: string): Violation[] => [{ path, part: 'value', detail }];
  const key = (name: string, detail: string): Violation[] => [
    { path: [...path, name], part: 'key', detail },
  ];
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      const known = Object.keys((parent['properties'] ?? {}) as object);
      return key(name, `unknown key${suggestion(name, known)}`);
    }
    case 'propertyNames': {
      const name = String(params['propertyName']);
      return key(name, `${JSON.stringify(name)} is not ${describeWanted(error.schema)}`);
    }
    case 'required':
      return value(`${String(params['missingProperty'])} is missing`);
    case 'oneOf':
      return value(`it must have ${describeWanted(parent)}`);
    case 'uniqueItems':
      return value('the same is there twice');
    case 'type':
      return value(describeType(error, parent, source(path)));
    default:
      return value(`${shorten(error.data)} is not ${describeWanted(parent)}`);
  }
}

function describeType(
  error: ErrorObject,
  parent: SchemaObject,
  source: string | undefined,
): string {
  const wanted = [parent['type'] as string | string[]].flat();
  const { data } = error;
  if (data === null) return `it has no value; it must be ${describeWanted(parent)}`;
  if (wanted.includes('string') && (typeof data === 'number' || typeof data === 'boolean')) {
    const written = source ?? String(data);
    const kind = typeof data === 'number' ? 'a number' : 'true or false';
    // Whoever writes 644 means 0644.
    const pattern = new RegExp(typeof parent['pattern'] === 'string' ? parent['pattern'] : '');
    const meant = !pattern.test(written) && pattern.test(`0${written}`) ? `0${written}` : written;
    return `${written} is ${kind} here, not text; put it in quotes: "${meant}"`;
  }
  return `${shorten(data)} is not ${describeWanted(parent)}`;
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'a map of keys and values',
  array: 'a list',
  integer: 'a whole number',
  boolean: 'true or false',
};

/** Of these a description tells what they are for. */
const DESCRIBED_BY_TYPE: ReadonlySet<string> = new Set(['object', 'array', 'boolean']);

function describeWanted(schema: unknown): string {
  const { description, type } = schema as SchemaObject;
  if (typeof description === 'string' && !DESCRIBED_BY_TYPE.has(String(type))) return description;
  if (typeof description === 'string' && description.startsWith('exactly')) return description;
  const types = type as string | string[] | undefined;
  return types === undefined
    ? 'what is wanted'
    : [types]
        .flat()
        .map((name) => TYPES[name] ?? name)
        .join(' or ');
}

function shorten(data: unknown): string {
  if (Array.isArray(data)) return 'a list';
  if (typeof data === 'object' && data !== null) return 'a map of keys and values';
  const text = JSON.stringify(data);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** A JSON pointer as names, with numbers where `root` has a list. */
function pathOf(pointer: string, root: unknown): (string | number)[] {
  let here = root;
  return pointer
    .split('/')
    .slice(1)
    .map((raw) => {
      const name = raw.replaceAll('~1', '/').replaceAll('~0', '~');
      const step = Array.isArray(here) ? Number(name) : name;
      here = (here as Readonly<Record<string | number, unknown>> | undefined)?.[step];
      return step;
    });
}
