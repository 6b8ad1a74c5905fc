import type { DocumentProblem, InvalidDocument } from './failure.ts';
import { suggestion } from './nearest-name.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** A JSON document that holds versions and names of images, such as Home Assistant's `stable.json`. */
export interface Catalog {
  /** Its address, as `catalogAddress` gave it. */
  readonly from: string;
  /**
   * The string or number at a dotted path, such as `images.supervisor`; it may hold templates. Keys that hold dots
   * can't be reached.
   */
  readonly lookup: (path: string) => Result<string, InvalidDocument>;
  /** Whether there is anything at that path. */
  readonly has: (path: string) => boolean;
}

/** Reads a catalog; `from` is where it was read, for messages and for the pins. */
export function parseCatalog(text: string, from: string): Result<Catalog, InvalidDocument> {
  const invalid = (detail: string): Result<never, InvalidDocument> =>
    invalidCatalog(from, { detail });
  const content = text.replace(/^\uFEFF/, '').trim();
  if (content === '') return invalid('it is empty');
  if (content.startsWith('<')) return invalid('it is a web page (HTML or XML), not JSON');
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    return invalid(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isObject(value)) return invalid(`it is ${describe(value)}; a catalog is a JSON object`);
  const root = value;
  return ok({
    from,
    lookup: (path) => lookUp(root, path, from),
    has: (path) => reaches(root, path.split('.')),
  });
}

/** The catalog that the pins remember: only what was used is in it. */
export function recalledCatalog(from: string, values: Readonly<Record<string, string>>): Catalog {
  return {
    from,
    has: (path) => Object.hasOwn(values, path),
    lookup: (path) => {
      const value = Object.hasOwn(values, path) ? values[path] : undefined;
      if (value !== undefined) return ok(value);
      return invalidCatalog(from, { path, detail: 'it is not among the values that were pinned' });
    },
  };
}

function lookUp(
  root: Readonly<Record<string, unknown>>,
  path: string,
  from: string,
): Result<string, InvalidDocument> {
  let object = root;
  const keys = path.split('.');
  for (const [index, key] of keys.entries()) {
    const here = keys.slice(0, index).join('.');
    const value = Object.hasOwn(object, key) ? object[key] : undefined;
    if (value === undefined) {
      const where = here === '' ? 'the catalog' : here;
      const detail = `${where} has no ${JSON.stringify(key)}${suggestion(key, Object.keys(object))}`;
      return invalidCatalog(from, { path, detail });
    }
    if (index === keys.length - 1) {
      if (typeof value === 'string') return ok(value);
      if (typeof value === 'number') return ok(String(value));
      return invalidCatalog(from, {
        path,
        detail: `it is ${describe(value)}; text or a number is wanted`,
      });
    }
    if (!isObject(value)) {
      const detail = `${[...keys.slice(0, index), key].join('.')} is ${describe(value)}, with nothing in it`;
      return invalidCatalog(from, { path, detail });
    }
    object = value;
  }
  throw new Error('a path has at least one key');
}

function reaches(value: unknown, [key, ...rest]: readonly string[]): boolean {
  if (key === undefined) return true;
  return isObject(value) && Object.hasOwn(value, key) && reaches(value[key], rest);
}

function invalidCatalog(from: string, problem: DocumentProblem): Result<never, InvalidDocument> {
  return fail({ reason: 'invalid-document', kind: 'catalog', file: from, problems: [problem] });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'string' ? 'text' : `a ${typeof value}`;
}
