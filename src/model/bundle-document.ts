import schema from '../../schema/bundle.schema.json' with { type: 'json' };
import type { Bundle, BundleFile, BundleImage, Partition, Position } from './bundle.ts';
import type { CheckedBundle, MergedBundle, Placed } from './bundle-merge.ts';
import { mergeBundles } from './bundle-merge.ts';
import type { RawBundle, RawFile } from './bundle-rules.ts';
import { checkNames, checkRules } from './bundle-rules.ts';
import { parseHeadroom, parseReserved, parseSize } from './bundle-size.ts';
import type { YamlDocument } from './bundle-yaml.ts';
import { parseYaml } from './bundle-yaml.ts';
import { featureWords, parseFeatures } from './ext4-features.ts';
import type { BundlesDisagree, DocumentProblem, InvalidDocument } from './failure.ts';
import type { Violation } from './json-schema.ts';
import { formatPath, schemaCheck } from './json-schema.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';
import { parseUuid } from './uuid.ts';

const DEFAULT_ENGINE_VERSION = '28.5.2';
const DEFAULT_DIND = 'docker://docker.io/library/docker:{engine.version}-dind';
const DEFAULT_LABEL = 'data';
const DEFAULT_DATA_ROOT = 'docker';
const DEFAULT_HEADROOM = { percent: 10 };
const DEFAULT_MODE = '0644';

const checkSchema = schemaCheck(schema);

/** A bundle's text and where it was read: `path` is what messages name. */
export interface BundleText {
  readonly path: string;
  readonly text: string;
}

/**
 * Reads, checks and merges bundles. Every problem of the first file that has any is told at once, in the order of the
 * text; files that contradict each other are looked at once each is right by itself.
 */
export function readBundles(
  files: readonly BundleText[],
): Result<Bundle, InvalidDocument | BundlesDisagree> {
  const documents: (CheckedBundle & { readonly yaml: YamlDocument })[] = [];
  for (const file of files) {
    const document = readDocument(file);
    if (!document.ok) return document;
    documents.push(document.value);
  }
  const merged = mergeBundles(documents);
  if (!merged.ok) return merged;
  const bundle = complete(merged.value, documents);
  const names = {
    vars: Object.keys(bundle.vars),
    hasCatalog: bundle.catalog !== undefined,
    dataRoot: bundle.partition.dataRoot,
  };
  for (const { file, raw, yaml } of documents) {
    const violations = checkNames(raw, names);
    if (violations.length > 0) return invalid(file, locateAll(yaml, violations));
  }
  if (Object.keys(bundle.images).length === 0) {
    const detail = 'there is no image in it; images must name at least one';
    return invalid(files.map(({ path }) => path).join(', '), [{ path: 'images', detail }]);
  }
  return ok(bundle);
}

function readDocument({
  path: file,
  text,
}: BundleText): Result<CheckedBundle & { readonly yaml: YamlDocument }, InvalidDocument> {
  if (text.trim() === '') {
    return invalid(file, [{ detail: 'it is empty; a bundle begins with "stowage: 1"' }]);
  }
  const yaml = parseYaml(text);
  if (!yaml.ok) return invalid(file, yaml.failure);
  const { value } = yaml.value;
  const wrongForm = formProblem(value);
  if (wrongForm !== undefined) {
    return invalid(
      file,
      locateAll(yaml.value, [{ path: ['stowage'], part: 'value', detail: wrongForm }]),
    );
  }
  const misformed = checkSchema(value, yaml.value.source);
  const violations = [...misformed, ...checkRules(withoutMisformed(value as RawBundle, misformed))];
  if (violations.length > 0) return invalid(file, locateAll(yaml.value, violations));
  const raw = value as RawBundle;
  const at = (path: readonly string[]): Position => ({ file, ...yaml.value.locate(path, 'key') });
  return ok({ file, raw, at, yaml: yaml.value });
}

/** What is left to look at when the parts that break the schema are taken out: images and files one by one. */
function withoutMisformed(raw: RawBundle, misformed: readonly Violation[]): RawBundle {
  const sections = new Map<string, unknown>(Object.entries(raw));
  for (const { path } of misformed) {
    const [section = '', name] = path.map(String);
    const entries = sections.get(section);
    if (name === undefined || typeof entries !== 'object' || entries === null) {
      sections.delete(section);
    } else {
      const kept = Object.entries(entries).filter(([key]) => key !== name);
      sections.set(section, Object.fromEntries(kept));
    }
  }
  return Object.fromEntries(sections) as unknown as RawBundle;
}

/** What is no bundle of this format at all; the schema's own words for it would mislead. */
function formProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'it is not a map of keys and values; a bundle begins with "stowage: 1"';
  }
  const { stowage } = value as { readonly stowage?: unknown };
  if (stowage === undefined) return 'stowage is missing; a bundle begins with "stowage: 1"';
  if (typeof stowage === 'number' && Number.isInteger(stowage) && stowage > 1) {
    return `it is of format ${stowage}, and this version of stowage reads format 1; a newer one is wanted`;
  }
  return undefined;
}

function complete(merged: MergedBundle, documents: readonly CheckedBundle[]): Bundle {
  const { partition, engine } = merged;
  return {
    files: documents.map(({ file }) => file),
    vars: merged.vars,
    arch: merged.arch,
    ...(merged.catalog === undefined
      ? {}
      : { catalog: merged.catalog.text, catalogAt: merged.catalog.at }),
    partition: {
      label: partition.label ?? DEFAULT_LABEL,
      size: parseSize(partition.size ?? 'auto') ?? 'auto',
      headroom: parseHeadroom(partition.headroom ?? '') ?? DEFAULT_HEADROOM,
      dataRoot: partition.dataRoot ?? DEFAULT_DATA_ROOT,
      ...completeFileSystem(partition),
    },
    engine: {
      name: engine.name ?? 'docker',
      store: engine.store ?? 'containerd',
      version: engine.version ?? DEFAULT_ENGINE_VERSION,
      unpack: engine.unpack ?? true,
      ...(engine.containerd === 'own' ? { containerd: engine.containerd } : {}),
      dind: engine.dind ?? DEFAULT_DIND,
    },
    images: mapValues(merged.images, ({ from, tags, storage, keepIndex, at }): BundleImage => ({
      from,
      tags: tags ?? [],
      ...(storage === undefined ? {} : { storage }),
      ...(keepIndex === true ? { keepIndex } : {}),
      at,
    })),
    extraFiles: mapValues(merged.files, completeFile),
    writtenAt: merged.writtenAt,
  };
}

/** What is absent where the default will do. */
function completeFileSystem(
  partition: NonNullable<RawBundle['partition']>,
): Pick<Partition, 'features' | 'uuid' | 'inodes' | 'reserved'> {
  const features =
    partition.features === undefined ? undefined : parseFeatures(featureWords(partition.features));
  const uuid = partition.uuid === undefined ? undefined : parseUuid(partition.uuid);
  const reserved = partition.reserved === undefined ? undefined : parseReserved(partition.reserved);
  return {
    ...(features?.ok === true ? { features: features.value } : {}),
    ...(uuid === undefined ? {} : { uuid }),
    ...(partition.inodes === undefined ? {} : { inodes: partition.inodes }),
    ...(reserved === undefined ? {} : { reserved }),
  };
}

function completeFile({ url, text, json, mode = DEFAULT_MODE, at }: Placed<RawFile>): BundleFile {
  if (url !== undefined) return { kind: 'url', url, mode, at };
  return text === undefined ? { kind: 'json', json, mode, at } : { kind: 'text', text, mode, at };
}

function mapValues<T, U>(
  record: Readonly<Record<string, T>>,
  change: (value: T) => U,
): Readonly<Record<string, U>> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

function locateAll(
  yaml: YamlDocument,
  violations: readonly Violation[],
): readonly DocumentProblem[] {
  return violations
    .map(({ path, part, detail }) => ({
      ...yaml.locate(path, part),
      ...(path.length === 0 ? {} : { path: formatPath(path) }),
      detail,
    }))
    .sort((a, b) => a.line - b.line || a.column - b.column);
}

function invalid(
  file: string,
  problems: readonly DocumentProblem[],
): Result<never, InvalidDocument> {
  return fail({ reason: 'invalid-document', kind: 'bundle', file, problems });
}
