import schema from '../../schema/pins.schema.json' with { type: 'json' };
import { pathProblem } from './bundle-paths.ts';
import { parseYaml } from './bundle-yaml.ts';
import type { DocumentProblem, InvalidDocument } from './failure.ts';
import type { Violation } from './json-schema.ts';
import { formatPath, schemaCheck } from './json-schema.ts';
import { formatPlatform, parsePlatform } from './platform.ts';
import { parseSource } from './image-source.ts';
import type { Pins, Target, TargetPins } from './pins.ts';
import { parseReference, taggedName } from './reference.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** The format's version, under the key `stowage-pins`. */
const FORMAT = 1;
const FORMAT_KEY = 'stowage-pins';

const checkSchema = schemaCheck(schema);

/**
 * Reads a pins file; `file` is its name in messages. It is strict: what is read here may be fetched and built from.
 * A reference whose digest was edited by hand is read all the same: plan/compare-pins.ts calls that stale.
 */
export function parsePins(text: string, file: string): Result<Pins, InvalidDocument> {
  const invalid = (problems: readonly DocumentProblem[]): Result<never, InvalidDocument> =>
    fail({ reason: 'invalid-document', kind: 'pins', file, problems });
  if (text.trim() === '') return invalid([{ detail: 'it is empty; write it with stowage pin' }]);
  const conflict = text.split('\n').findIndex((line) => /^(?:<{7}|={7}|>{7})(?: |\r?$)/.test(line));
  if (conflict >= 0) {
    const detail = 'it holds the marks of a merge conflict; take either side and run stowage pin';
    return invalid([{ line: conflict + 1, column: 1, detail }]);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return invalid([syntaxProblem(text, error)]);
  }
  const wrongForm = formProblem(value);
  if (wrongForm !== undefined) return invalid([{ detail: wrongForm }]);
  const misformed = checkSchema(value);
  if (misformed.length > 0) return invalid(locateAll(text, misformed));
  const { targets } = value as Pins;
  const violations = Object.entries(targets).flatMap(([key, pins]) => checkTarget(key, pins));
  return violations.length > 0 ? invalid(locateAll(text, violations)) : ok({ targets });
}

/**
 * The file's text: keys sorted, two spaces, a newline at the end, and a descriptor or a file on one line, so that a
 * change is a line in review. The same pins give the same bytes.
 */
export function formatPins(pins: Pins): string {
  return `${formatValue({ [FORMAT_KEY]: FORMAT, targets: pins.targets }, '')}\n`;
}

/** The name of a target, unique and readable: `linux/arm64 raspberrypi4-64 channel=beta`. */
export function targetKey(target: Target): string {
  const set = Object.entries(target.set)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value.replace(/[\s%]/g, encodeURIComponent)}`);
  return [target.platform, ...(target.machine === undefined ? [] : [target.machine]), ...set].join(
    ' ',
  );
}

function formProblem(value: unknown): string | undefined {
  const version =
    typeof value === 'object' && value !== null
      ? (value as Readonly<Record<string, unknown>>)[FORMAT_KEY]
      : undefined;
  if (version === FORMAT) return undefined;
  if (typeof version === 'number' && version > FORMAT) {
    return `it is of format ${version}, and this version of stowage reads format ${FORMAT}; a newer stowage wrote it and can read it`;
  }
  return `it is no pins file: "${FORMAT_KEY}": ${FORMAT} is missing; write pins with stowage pin`;
}

function syntaxProblem(text: string, error: unknown): DocumentProblem {
  const message = error instanceof Error ? error.message : String(error);
  const at = /at position (\d+)/.exec(message)?.[1];
  const before = text.slice(0, at === undefined ? text.trimEnd().length : Number(at)).split('\n');
  return {
    line: before.length,
    column: (before.at(-1) ?? '').length + 1,
    detail: `it is not JSON here: ${message.replace(/ in JSON at position.*$/s, '')}`,
  };
}

/** JSON is YAML, whose parser knows where everything is. */
function locateAll(text: string, violations: readonly Violation[]): readonly DocumentProblem[] {
  const document = parseYaml(text);
  return violations.map(({ path, part, detail }) => ({
    ...(document.ok ? document.value.locate(path, part) : {}),
    path: formatPath(path),
    detail,
  }));
}

/** What the schema can't say. */
function checkTarget(key: string, pins: TargetPins): readonly Violation[] {
  const violations: Violation[] = [];
  const add = (path: readonly (string | number)[], detail: string): void => {
    violations.push({ path: ['targets', key, ...path], part: 'value', detail });
  };
  checkPlatform(pins.target.platform, ['target', 'platform'], add);
  const expected = targetKey(pins.target);
  if (key !== expected) add(['target'], `the target is called ${key} and is ${expected}`);
  for (const [name, image] of Object.entries(pins.images)) {
    checkReference(image.reference, ['images', name, 'reference'], add);
    checkFrom(image.from, ['images', name, 'from'], add);
    const { keptIndex } = image;
    if (keptIndex !== undefined && keptIndex.digest !== image.index)
      add(['images', name, 'keptIndex'], 'it is not the index of the image');
    checkPlatform(image.platform, ['images', name, 'platform'], add);
    checkArch(image.platform, pins.target.platform, ['images', name, 'platform'], add);
    image.names.forEach((full, index) => {
      const reference = parseReference(full);
      if (!reference.ok || taggedName(reference.value) !== full) {
        add(
          ['images', name, 'names', index],
          `${JSON.stringify(full)} is not a full name, such as docker.io/library/x:1`,
        );
      }
    });
  }
  for (const path of Object.keys(pins.files)) {
    const detail = pathProblem(path);
    if (detail !== undefined) add(['files', path], detail);
  }
  if (pins.dind !== undefined) {
    checkReference(pins.dind.reference, ['dind', 'reference'], add);
    checkFrom(pins.dind.from, ['dind', 'from'], add);
    for (const platform of Object.keys(pins.dind.platforms)) {
      checkPlatform(platform, ['dind', 'platforms', platform], add);
    }
  }
  return violations;
}

type Add = (path: readonly (string | number)[], detail: string) => void;

function checkReference(text: string, path: readonly string[], add: Add): void {
  const reference = parseReference(text);
  if (!reference.ok) add(path, reference.failure.detail);
  else if (reference.value.digest === undefined) add(path, `${JSON.stringify(text)} has no digest`);
}

function checkFrom(text: string | undefined, path: readonly string[], add: Add): void {
  if (text === undefined) return;
  const source = parseSource(text);
  if (!source.ok) add(path, source.failure.detail);
  else if (source.value.kind === 'registry')
    add(path, `${JSON.stringify(text)} is a registry's; such images have a reference alone`);
}

function checkPlatform(text: string, path: readonly string[], add: Add): void {
  const platform = parsePlatform(text);
  if (!platform.ok || formatPlatform(platform.value) !== text) {
    add(path, `${JSON.stringify(text)} is not a platform, such as linux/arm64`);
  }
}

/** Variants may differ: what is for v6 runs on v7. */
function checkArch(image: string, target: string, path: readonly string[], add: Add): void {
  const [own, wanted] = [parsePlatform(image), parsePlatform(target)];
  if (own.ok && wanted.ok && own.value.arch !== wanted.value.arch)
    add(path, `the image is for ${image}, and the target is ${target}`);
}

function formatValue(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    const items = value.map((item) => `${inner}${formatValue(item, inner)}`);
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return '{}';
  if (isLeaf(value)) {
    return `{ ${entries.map(([key, item]) => `${JSON.stringify(key)}: ${JSON.stringify(item)}`).join(', ')} }`;
  }
  const lines = entries.map(
    ([key, item]) => `${inner}${JSON.stringify(key)}: ${formatValue(item, inner)}`,
  );
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

/** A descriptor, or a file's pin. */
function isLeaf(value: object): boolean {
  return (
    ('digest' in value || 'sha256' in value) &&
    Object.values(value).every((item) => typeof item !== 'object')
  );
}
