import type { FieldChange } from './difference.ts';

/** Told of as layers. */
const ELSEWHERE = new Set(['rootfs']);

/**
 * Fields of two image configs that differ (OCI image-spec, config.md), at any depth: `config.Cmd`, `config.Env.PATH`,
 * `created`. Lists are compared as a whole, the environment by its variables, the history by its entries.
 */
export function compareConfigs(from: unknown, to: unknown): FieldChange[] {
  const changes: FieldChange[] = [];
  compare('', from, to, changes);
  return changes;
}

function compare(path: string, from: unknown, to: unknown, changes: FieldChange[]): void {
  const [a, b] = [fieldsOf(path, from), fieldsOf(path, to)];
  if (a === undefined || b === undefined) {
    if (JSON.stringify(from) === JSON.stringify(to)) return;
    changes.push({
      path,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    });
    return;
  }
  for (const key of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const below = path === '' ? key : `${path}.${key}`;
    if (!ELSEWHERE.has(below)) compare(below, a.get(key), b.get(key), changes);
  }
}

/** What an object is made of; undefined for a plain value, which is compared as it is. */
function fieldsOf(path: string, value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (path === 'config.Env' && isStrings(value)) return variablesOf(value);
  if (path === 'history' && Array.isArray(value))
    return new Map(value.map((entry, i): [string, unknown] => [`${i}`, entry]));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(Object.entries(value));
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A variable that comes twice has its last value, as in a process. */
function variablesOf(list: readonly string[]): ReadonlyMap<string, unknown> {
  return new Map(
    list.map((text): [string, unknown] => {
      const at = text.indexOf('=');
      return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
