import type { EngineStore } from './bundle.ts';
import { dataRootProblem, pathProblem } from './bundle-paths.ts';
import { headroomRemark, parseHeadroom, parseReserved, parseSize } from './bundle-size.ts';
import { hasCredentials, withoutCredentials } from './bundle-source.ts';
import { featureWords, parseFeatures } from './ext4-features.ts';
import { transportProblem } from './image-source.ts';
import { formatPlatform, parsePlatform } from './platform.ts';
import type { TemplatePart } from './template.ts';
import { namesIn, parseTemplate } from './template.ts';
import { suggestion } from './nearest-name.ts';
import type { Violation } from './json-schema.ts';
import { parseUuid } from './uuid.ts';

/** A bundle as it is in YAML, checked against schema/bundle.schema.json and no further. */
export interface RawBundle {
  readonly stowage: 1;
  readonly vars?: Readonly<Record<string, string>>;
  readonly arch?: Readonly<Record<string, string>>;
  readonly catalog?: string;
  readonly partition?: {
    readonly label?: string;
    readonly size?: string | number;
    readonly headroom?: string | number;
    readonly dataRoot?: string;
    readonly features?: string | number | readonly (string | number)[];
    readonly uuid?: string;
    readonly inodes?: number;
    readonly reserved?: string | number;
  };
  readonly engine?: {
    readonly name?: 'docker';
    readonly store?: EngineStore;
    readonly version?: string;
    readonly unpack?: boolean;
    readonly containerd?: 'daemon' | 'own';
    readonly dind?: string;
  };
  readonly images?: Readonly<Record<string, RawImage>>;
  readonly files?: Readonly<Record<string, RawFile>>;
}

export interface RawImage {
  readonly from: string;
  readonly tags?: readonly string[];
  readonly keepIndex?: boolean;
  readonly storage?: {
    readonly root: string;
    readonly driver?: string;
    readonly runRoot?: string;
  };
}

export interface RawFile {
  readonly url?: string;
  readonly text?: string;
  readonly json?: unknown;
  readonly mode?: string;
}

/** ext4's superblock has room for this many bytes (s_volume_name). */
const LONGEST_LABEL = 16;

/** What a JSON Schema can't say, of one document by itself. */
export function checkRules(raw: RawBundle): readonly Violation[] {
  const violations: Violation[] = [];
  const add = (path: Violation['path'], part: Violation['part'], detail: string): void => {
    violations.push({ path, part, detail });
  };

  checkPlatforms(raw, add);
  checkPartition(raw, add);
  for (const [name, image] of Object.entries(raw.images ?? {}))
    checkSource(['images', name, 'from'], image.from, add);
  for (const [name, { from, storage }] of Object.entries(raw.images ?? {}))
    if (storage !== undefined && !/^(?:\{|containers-storage:)/.test(from))
      add(
        ['images', name, 'storage'],
        'key',
        'only images from containers-storage: have a storage',
      );
  if (raw.engine?.dind !== undefined) checkSource(['engine', 'dind'], raw.engine.dind, add);

  for (const path of Object.keys(raw.files ?? {})) {
    const detail = isTemplate(path) ? undefined : pathProblem(path);
    if (detail !== undefined) add(['files', path], 'key', detail);
  }
  for (const [path, file] of Object.entries(raw.files ?? {})) {
    if (!isJson(file.json)) {
      add(
        ['files', path, 'json'],
        'value',
        'it holds a number that JSON does not have (.inf or .nan)',
      );
    }
  }
  for (const { path, part, text } of templatesOf(raw)) {
    const parts = parseTemplate(text);
    if (!parts.ok) add(path, part, parts.failure.detail);
    else if (isAddress(path) && hasCredentials(text)) {
      add(
        path,
        part,
        `${JSON.stringify(withoutCredentials(text))} holds a user or a password, which would get into the pins`,
      );
    }
  }
  return violations;
}

/** What holds between the documents once they are merged: `vars` and `hasCatalog` are those of all of them. */
export function checkNames(
  raw: RawBundle,
  merged: {
    readonly vars: readonly string[];
    readonly hasCatalog: boolean;
    readonly dataRoot: string;
  },
): readonly Violation[] {
  const known = [...merged.vars, 'arch', 'machine', 'engine.version'];
  const violations: Violation[] = [];
  for (const { path, part, text } of templatesOf(raw)) {
    const parts = parseTemplate(text);
    for (const name of parts.ok ? namesIn(parts.value) : []) {
      const detail = nameProblem(name, known, merged.hasCatalog, path[0] === 'catalog');
      if (detail !== undefined) violations.push({ path, part, detail });
    }
  }
  for (const path of Object.keys(raw.files ?? {})) {
    const detail = isTemplate(path) ? undefined : dataRootProblem(path, merged.dataRoot);
    if (detail !== undefined) violations.push({ path: ['files', path], part: 'key', detail });
  }
  return violations;
}

/** Whether anything in `text` is filled in. */
export function isTemplate(text: string): boolean {
  const parts = parseTemplate(text);
  return !parts.ok || parts.value.some((part: TemplatePart) => typeof part !== 'string');
}

type Add = (path: Violation['path'], part: Violation['part'], detail: string) => void;

function checkPlatforms(raw: RawBundle, add: Add): void {
  const seen = new Map<string, string>();
  for (const key of Object.keys(raw.arch ?? {})) {
    const platform = parsePlatform(key);
    if (!platform.ok) {
      add(
        ['arch', key],
        'key',
        `${JSON.stringify(key)} is not a platform, such as linux/arm64 or aarch64`,
      );
      continue;
    }
    const name = formatPlatform(platform.value);
    const earlier = seen.get(name);
    if (earlier !== undefined) add(['arch', key], 'key', `${name} is there already, as ${earlier}`);
    seen.set(name, key);
  }
}

function checkPartition(raw: RawBundle, add: Add): void {
  const { label, size, headroom, dataRoot } = raw.partition ?? {};
  if (label !== undefined && Buffer.byteLength(label) > LONGEST_LABEL) {
    add(
      ['partition', 'label'],
      'value',
      `${JSON.stringify(label)} is longer than ${LONGEST_LABEL} bytes`,
    );
  } else if (label !== undefined && /[{}/\s]|\p{Cc}/u.test(label)) {
    add(
      ['partition', 'label'],
      'value',
      `${JSON.stringify(label)} has white space, a slash, a brace or a control character`,
    );
  }
  if (size !== undefined && parseSize(size) === undefined) {
    add(
      ['partition', 'size'],
      'value',
      `${JSON.stringify(size)} is not auto, or a size of at least 1M such as 1280M or 2G`,
    );
  }
  if (headroom !== undefined && parseHeadroom(headroom) === undefined) {
    add(
      ['partition', 'headroom'],
      'value',
      `${JSON.stringify(headroom)} is not a percentage up to 1000%, or a size such as 200M${headroomRemark(headroom)}`,
    );
  }
  const detail = dataRoot === undefined ? undefined : pathProblem(dataRoot);
  if (detail !== undefined) add(['partition', 'dataRoot'], 'value', detail);
  const { features, uuid, reserved } = raw.partition ?? {};
  const parsed = features === undefined ? undefined : parseFeatures(featureWords(features));
  if (parsed?.ok === false) add(['partition', 'features'], 'value', parsed.failure.detail);
  if (uuid !== undefined && parseUuid(uuid) === undefined)
    add(['partition', 'uuid'], 'value', `${JSON.stringify(uuid)} is no UUID`);
  if (reserved !== undefined && parseReserved(reserved) === undefined)
    add(
      ['partition', 'reserved'],
      'value',
      `${JSON.stringify(reserved)} is not a percentage up to 50%`,
    );
}

function checkSource(path: Violation['path'], text: string, add: Add): void {
  const detail = text.startsWith('{') ? undefined : transportProblem(text);
  if (detail !== undefined) add(path, 'value', detail);
}

function nameProblem(
  name: string,
  known: readonly string[],
  hasCatalog: boolean,
  isCatalogAddress: boolean,
): string | undefined {
  if (name.startsWith('catalog.')) {
    if (isCatalogAddress) return `{${name}} is in the catalog, whose own address this is`;
    return hasCatalog ? undefined : `{${name}} wants a catalog, and the bundle names none`;
  }
  if (known.includes(name)) return undefined;
  return `{${name}} is no variable${suggestion(name, known)}`;
}

/** Texts that end as an address. */
function isAddress(path: Violation['path']): boolean {
  return path[0] === 'vars' || path[0] === 'catalog' || path[2] === 'url';
}

function isJson(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isJson);
}

interface FoundTemplate {
  readonly path: Violation['path'];
  readonly part: Violation['part'];
  readonly text: string;
}

/** Every text that templates are filled in. */
function templatesOf(raw: RawBundle): readonly FoundTemplate[] {
  const found: FoundTemplate[] = [];
  const add = (path: Violation['path'], value: unknown): void => {
    if (typeof value === 'string') found.push({ path, part: 'value', text: value });
    else if (Array.isArray(value))
      value.forEach((item, index) => {
        add([...path, index], item);
      });
    else if (typeof value === 'object' && value !== null) {
      for (const [name, item] of Object.entries(value)) add([...path, name], item);
    }
  };
  add(['vars'], raw.vars);
  add(['arch'], raw.arch);
  add(['catalog'], raw.catalog);
  add(['engine', 'dind'], raw.engine?.dind);
  add(['images'], raw.images);
  for (const [path, file] of Object.entries(raw.files ?? {})) {
    found.push({ path: ['files', path], part: 'key', text: path });
    add(['files', path, 'url'], file.url);
    add(['files', path, 'text'], file.text);
    add(['files', path, 'json'], file.json);
  }
  return found;
}
