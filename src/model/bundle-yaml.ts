import type { ParsedNode } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { DocumentProblem } from './failure.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** A YAML document as plain data, and where each part of it is. */
export interface YamlDocument {
  readonly value: unknown;
  /** Line and column, from 1, of the key or the value at a path; of the nearest part above where that is not there. */
  readonly locate: (path: YamlPath, part: 'key' | 'value') => { line: number; column: number };
  /** A scalar as it is written, such as `0644`; undefined for anything else. */
  readonly source: (path: YamlPath) => string | undefined;
}

export type YamlPath = readonly (string | number)[];

/** An honest bundle repeats an anchor a few times; "billion laughs" needs thousands. */
const MOST_ALIASES = 100;

/**
 * Reads one YAML 1.2 document: duplicate keys, tags of one's own, further documents and aliases that explode are
 * problems. All problems are told, in the order of the text.
 */
export function parseYaml(text: string): Result<YamlDocument, readonly DocumentProblem[]> {
  const lines = new LineCounter();
  const document = parseDocument(text.replace(/^\uFEFF/, ''), {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    merge: false,
    uniqueKeys: true,
    strict: true,
    // 'silent' would pass over a second document.
    logLevel: 'error',
  });
  const problems = [...document.errors, ...document.warnings]
    .sort((a, b) => a.pos[0] - b.pos[0])
    .map(({ code, message, pos }) => ({
      ...position(lines, pos[0]),
      detail: explain(code, message),
    }));
  if (problems.length > 0) return fail(problems);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    return fail([{ detail: 'its aliases (*name) repeat each other without end or too often' }]);
  }

  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  const step = (
    node: unknown,
    name: string | number,
  ): { key: unknown; value: unknown } | undefined => {
    if (isMap(node)) {
      return node.items.find(
        (pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === String(name),
      );
    }
    if (isSeq(node) && typeof name === 'number') {
      const item = node.items[name];
      return item === undefined ? undefined : { key: item, value: item };
    }
    return undefined;
  };
  return ok({
    value,
    locate: (path, part) => {
      let node: unknown = document.contents;
      let found: unknown = node;
      for (const [index, name] of path.entries()) {
        const next = step(resolve(node), name);
        if (next === undefined) break;
        const isLast = index === path.length - 1;
        found = (isLast && part === 'value' ? next.value : undefined) ?? next.key;
        node = next.value;
      }
      return position(lines, startOf(found));
    },
    source: (path) => {
      let node: unknown = document.contents;
      for (const name of path) node = step(resolve(node), name)?.value;
      const scalar = resolve(node);
      return isScalar(scalar) ? scalar.source : undefined;
    },
  });
}

function startOf(node: unknown): number {
  return (node as Partial<ParsedNode> | null | undefined)?.range?.[0] ?? 0;
}

function position(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function explain(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return 'this key is there twice';
    case 'TAG_RESOLVE_FAILED':
      return 'tags (!name) are not allowed here';
    case 'TAB_AS_INDENT':
      return 'this line is indented with a tab; YAML wants spaces';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; a bundle is one document';
    default:
      return firstLine(message);
  }
}

function firstLine(message: string): string {
  return (message.split('\n')[0] ?? message).replace(/[.:]\s*$/, '');
}
