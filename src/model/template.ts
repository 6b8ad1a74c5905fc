import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** Why a template can't be filled in, as a phrase with no full stop. */
export interface TemplateProblem {
  readonly detail: string;
}

/** Gives the value behind a name; the value may hold templates itself. */
export type Lookup<F = never> = (name: string) => Result<string, TemplateProblem | F>;

/** A template taken apart: literal text, and what a name stands for; a name's parts may be templates themselves. */
export type TemplatePart =
  | string
  /** One name, or several of which the first that has a value is taken. */
  | { readonly names: readonly (readonly TemplatePart[])[] };

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
/** Values within values: a catalog's string that holds `{arch}` is two deep. */
const DEEPEST = 8;
/** Values filled in for one text: stops what doubles at every depth. */
const MOST = 1000;

/**
 * Takes a template apart: `{name}` stands for a value, `{{` and `}}` for single braces. A name may be put together
 * itself: `{catalog.homeassistant.{machine}}`. Of `{one|other}` the other is for where there is no one.
 */
export function parseTemplate(text: string): Result<readonly TemplatePart[], TemplateProblem> {
  const parts: TemplatePart[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (char !== '{' && char !== '}') {
      const end = /[{}]|$/.exec(text.slice(at))?.index ?? 0;
      parts.push(text.slice(at, at + end));
      at += end;
    } else if (text.charAt(at + 1) === char) {
      parts.push(char);
      at += 2;
    } else if (char === '}') {
      return fail({ detail: `a } without its { in ${quote(text)}; write }} for a brace` });
    } else {
      const name = parseName(text, at + 1);
      if (!name.ok) return name;
      parts.push({ names: name.value.names });
      at = name.value.end;
    }
  }
  return ok(parts);
}

/** The names a template asks for, as far as they are known without values: of a composed one what comes first, such as `catalog.homeassistant.`. */
export function namesIn(parts: readonly TemplatePart[]): readonly string[] {
  return parts.flatMap((part) => {
    if (typeof part === 'string') return [];
    return part.names.flatMap((name) => {
      const [first] = name;
      const known = typeof first === 'string' && (name.length === 1 || first.includes('.'));
      return [...(known ? [first] : []), ...namesIn(name)];
    });
  });
}

/**
 * Fills in every name, and those in the values in turn. A value that leads back to itself, or that goes deeper than
 * any honest one, is a problem and no hang. What `lookup` fails with is returned as it is. `has` says which names have
 * a value, where a template names several; without it all of them do.
 */
export function fillTemplate<F = never>(
  text: string,
  lookup: Lookup<F>,
  has: (name: string) => boolean = () => true,
): Result<string, TemplateProblem | F> {
  let filled = 0;

  const fillText = (
    template: string,
    within: readonly string[],
  ): Result<string, TemplateProblem | F> => {
    const parts = parseTemplate(template);
    return parts.ok ? fillParts(parts.value, within) : parts;
  };

  const fillParts = (
    parts: readonly TemplatePart[],
    within: readonly string[],
  ): Result<string, TemplateProblem | F> => {
    let result = '';
    for (const part of parts) {
      if (typeof part === 'string') {
        result += part;
        continue;
      }
      const value = fillFirst(part.names, within);
      if (!value.ok) return value;
      result += value.value;
    }
    return ok(result);
  };

  const fillFirst = (
    names: readonly (readonly TemplatePart[])[],
    within: readonly string[],
  ): Result<string, TemplateProblem | F> => {
    let chosen = '';
    for (const parts of names) {
      const name = fillParts(parts, within);
      if (!name.ok) return name;
      chosen = name.value;
      if (!NAME.test(chosen)) return fail({ detail: notAName(chosen) });
      if (has(chosen)) break;
    }
    return fillName(chosen, within);
  };

  const fillName = (
    name: string,
    within: readonly string[],
  ): Result<string, TemplateProblem | F> => {
    if (within.includes(name)) {
      return fail({ detail: `{${name}} leads back to itself: ${[...within, name].join(' → ')}` });
    }
    if (within.length >= DEEPEST) {
      return fail({ detail: `{${name}} is ${DEEPEST} values deep: ${within.join(' → ')}` });
    }
    filled += 1;
    if (filled > MOST) return fail({ detail: `it asks for more than ${MOST} values` });
    const value = lookup(name);
    return value.ok ? fillText(value.value, [...within, name]) : value;
  };

  return fillText(text, []);
}

/** What is between braces: a name, or several with a bar between them. */
function parseName(
  text: string,
  start: number,
): Result<
  { readonly names: readonly (readonly TemplatePart[])[]; readonly end: number },
  TemplateProblem
> {
  const names: (readonly TemplatePart[])[] = [];
  let parts: TemplatePart[] = [];
  let at = start;
  for (;;) {
    const length = /[{}|]/.exec(text.slice(at))?.index;
    if (length === undefined) {
      return fail({ detail: `a { without its } in ${quote(text)}; write {{ for a brace` });
    }
    const literal = text.slice(at, at + length);
    if (!/^[A-Za-z0-9_.-]*$/.test(literal)) return fail({ detail: notAName(literal) });
    if (literal !== '') parts.push(literal);
    at += length + 1;
    const end = text.charAt(at - 1);
    if (end === '{') {
      const inner = parseName(text, at);
      if (!inner.ok) return inner;
      parts.push({ names: inner.value.names });
      at = inner.value.end;
      continue;
    }
    if (parts.length === 0) {
      const nothing = end === '|' || names.length > 0 ? 'a | with no name beside it' : '{}';
      return fail({ detail: `${nothing} in ${quote(text)} names nothing` });
    }
    names.push(parts);
    if (end === '}') return ok({ names, end: at });
    parts = [];
  }
}

function notAName(name: string): string {
  return `${quote(name)} between braces is not a name: letters, digits, '_', '-' and '.'; write {{ and }} for braces`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
