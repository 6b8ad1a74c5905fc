import type { Bundle, BundleFile, BundleImage, Position } from '../model/bundle.ts';
import { dataRootProblem, isWithin, pathProblem } from '../model/bundle-paths.ts';
import { isRelativePath } from '../model/bundle-source.ts';
import type { Catalog } from '../model/catalog-document.ts';
import type { LocalSource, StorageLocation } from '../model/image-source.ts';
import { parseSource, transportProblem } from '../model/image-source.ts';
import { formatReference, parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok, unreachable } from '../model/result.ts';
import type { EvaluateOptions, Evaluation } from './evaluation.ts';
import { besideBundle, invalidOption, startEvaluation } from './evaluation.ts';
import type { LocatedSource, Wanted, WantedFile, WantedImage } from './wanted.ts';

export type { EvaluateOptions } from './evaluation.ts';

/** Where the catalog is to be read from, before there is one; undefined where the bundle has none. */
export function catalogAddress(
  bundle: Bundle,
  options: EvaluateOptions,
): Result<string | undefined> {
  if (bundle.catalog === undefined) return ok(undefined);
  const evaluation = startEvaluation(bundle, options, undefined);
  return evaluation.ok
    ? evaluation.value.address('catalog', bundle.catalog, bundle.catalogAt)
    : evaluation;
}

/** Where `catalogAddress` is for this process: a relative path begins at the bundle's directory. */
export function catalogLocation(bundle: Bundle, address: string): string {
  return isRelativePath(address) ? besideBundle(address, bundle.catalogAt) : address;
}

/**
 * Fills in every template of a bundle for one target. `catalog` is what was read from `catalogAddress`; its strings may
 * hold templates themselves, and what is used of it is kept in the result. The machine is part of the target only
 * where the bundle asks for it, so that one set of pins does for all machines otherwise.
 */
export function evaluate(
  bundle: Bundle,
  options: EvaluateOptions,
  catalog: Catalog | undefined,
): Result<Wanted> {
  const started = startEvaluation(bundle, options, catalog);
  if (!started.ok) return started;
  const evaluation = started.value;
  const images = evaluateImages(bundle, evaluation);
  if (!images.ok) return images;
  const files = evaluateFiles(bundle, evaluation);
  if (!files.ok) return files;
  const dind = evaluateDind(bundle, options, evaluation);
  if (!dind.ok) return dind;
  const { name } = bundle.engine;
  const store = options.engineStore ?? bundle.engine.store;
  const unpack = options.unpack ?? bundle.engine.unpack;
  const containerd = options.containerd ?? bundle.engine.containerd;
  return ok({
    target: evaluation.target(),
    platform: options.platform,
    vars: evaluation.vars,
    ...(catalog === undefined
      ? {}
      : { catalog: { from: catalog.from, values: Object.fromEntries(evaluation.catalogValues) } }),
    partition: bundle.partition,
    engine: {
      ...{ name, store, version: evaluation.engineVersion, unpack },
      ...(containerd === 'own' ? { containerd } : {}),
    },
    ...dind.value,
    ...(options.withoutDind === true ? { withoutDind: true } : {}),
    images: images.value,
    files: files.value,
  });
}

function evaluateImages(
  bundle: Bundle,
  evaluation: Evaluation,
): Result<Readonly<Record<string, WantedImage>>> {
  const { reject } = evaluation;
  const images = new Map<string, WantedImage>();
  const owners = new Map<string, { image: string; source: string }>();
  for (const [name, image] of Object.entries(bundle.images)) {
    const wanted = evaluateImage(name, image, evaluation);
    if (!wanted.ok) return wanted;
    const source = wanted.value.local?.text ?? formatReference(wanted.value.reference);
    for (const full of wanted.value.names) {
      const owner = owners.get(full);
      if (owner !== undefined && owner.source !== source) {
        const detail = `its name ${full} is also that of images.${owner.image}, which is another image`;
        return reject(`images.${name}`, detail, image.at);
      }
      owners.set(full, { image: name, source });
    }
    images.set(name, wanted.value);
  }
  return ok(Object.fromEntries(images));
}

function evaluateImage(
  name: string,
  { from, tags, storage, keepIndex, at }: BundleImage,
  { fill, reject }: Evaluation,
): Result<WantedImage> {
  const where = `images.${name}`;
  const text = fill(`${where}.from`, from, at);
  if (!text.ok) return text;
  const location = fillStorage(`${where}.storage`, storage, at, fill);
  if (!location.ok) return location;
  const source = parseSource(text.value, location.value);
  if (!source.ok) return reject(`${where}.from`, source.failure.detail, at);

  const names = new Set<string>();
  const own = source.value.kind === 'registry' ? taggedName(source.value.reference) : undefined;
  if (own !== undefined) names.add(own);
  for (const [index, tag] of tags.entries()) {
    const tagAt = `${where}.tags[${index}]`;
    const filled = fill(tagAt, tag, at);
    if (!filled.ok) return filled;
    const full = parseTag(filled.value);
    if (!full.ok) return reject(tagAt, full.failure.detail, at);
    names.add(full.value);
  }
  const sorted = [...names].sort();
  const [first] = sorted;
  const kept = keepIndex === undefined ? {} : { keepIndex };
  if (source.value.kind === 'registry') {
    if (first === undefined)
      return reject(
        where,
        'it is named by its digest alone; give it a tag, or a name under tags',
        at,
      );
    return ok({ reference: source.value.reference, names: sorted, ...kept });
  }
  const { local } = source.value;
  const reference = first === undefined ? undefined : parseReference(first);
  if (reference?.ok !== true)
    return reject(
      where,
      `an image from ${local.transport}: has no name of its own; give it one under tags`,
      at,
    );
  return ok({ reference: reference.value, local: locate(local, at), names: sorted, ...kept });
}

function fillStorage(
  where: string,
  storage: StorageLocation | undefined,
  at: Position,
  fill: Evaluation['fill'],
): Result<StorageLocation | undefined> {
  if (storage === undefined) return ok(undefined);
  const filled: Record<string, string> = {};
  for (const [key, text] of Object.entries(storage)) {
    const value = fill(`${where}.${key}`, String(text), at);
    if (!value.ok) return value;
    filled[key] = value.value;
  }
  return ok({ root: '', ...filled });
}

/** Relative paths begin at the directory of the bundle that names them. */
function locate(local: LocalSource, at: Position | undefined): LocatedSource {
  return {
    ...local,
    ...(local.path === undefined ? {} : { location: besideBundle(local.path, at) }),
    ...(local.runRoot === undefined ? {} : { runLocation: besideBundle(local.runRoot, at) }),
  };
}

/** A name to be given on the device: no digest, `latest` where there is no tag. */
function parseTag(text: string): Result<string, { readonly detail: string }> {
  const reference = parseReference(text);
  if (!reference.ok) return reference;
  const name = reference.value.digest === undefined ? taggedName(reference.value) : undefined;
  return name === undefined
    ? fail({ detail: `${JSON.stringify(text)} has a digest; a name on the device is NAME:TAG` })
    : ok(name);
}

function evaluateFiles(
  bundle: Bundle,
  evaluation: Evaluation,
): Result<Readonly<Record<string, WantedFile>>> {
  const { fill, reject } = evaluation;
  const files = new Map<string, WantedFile>();
  for (const [template, file] of Object.entries(bundle.extraFiles)) {
    const where = `files.${template}`;
    const path = fill(where, template, file.at);
    if (!path.ok) return path;
    const detail =
      pathProblem(path.value) ??
      dataRootProblem(path.value, bundle.partition.dataRoot) ??
      clash(path.value, [...files.keys()]);
    if (detail !== undefined) return reject(where, detail, file.at);
    const content = evaluateFile(where, file, evaluation);
    if (!content.ok) return content;
    files.set(path.value, content.value);
  }
  return ok(Object.fromEntries(files));
}

function clash(path: string, others: readonly string[]): string | undefined {
  if (others.includes(path)) return `${JSON.stringify(path)} is there twice`;
  const other = others.find((file) => isWithin(path, file) || isWithin(file, path));
  if (other === undefined) return undefined;
  const [file = '', within = ''] = [path, other].sort((a, b) => a.length - b.length);
  return `${JSON.stringify(file)} would be a file, and a directory for ${JSON.stringify(within)}`;
}

function evaluateFile(
  where: string,
  file: BundleFile,
  { fill, address }: Evaluation,
): Result<WantedFile> {
  const { mode, at } = file;
  const content = (text: string): Result<WantedFile> =>
    ok({ kind: 'content', mode, content: new TextEncoder().encode(text) });
  switch (file.kind) {
    case 'url': {
      const url = address(`${where}.url`, file.url, at);
      if (!url.ok) return url;
      return ok({
        kind: 'url',
        mode,
        url: url.value,
        ...(isRelativePath(url.value) ? { location: besideBundle(url.value, at) } : {}),
      });
    }
    case 'text': {
      const text = fill(`${where}.text`, file.text, at);
      return text.ok ? content(text.value) : text;
    }
    case 'json': {
      const json = fillJson(file.json, (text) => fill(`${where}.json`, text, at));
      // One line and a newline, keys in the bundle's order: the same bytes for the same bundle.
      return json.ok ? content(`${JSON.stringify(json.value)}\n`) : json;
    }
    default:
      return unreachable(file);
  }
}

/** Fills in the strings of a JSON value; keys are left as they are. */
function fillJson(value: unknown, fill: (text: string) => Result<string>): Result<unknown> {
  if (typeof value === 'string') return fill(value);
  if (typeof value !== 'object' || value === null) return ok(value);
  const filled: [string, unknown][] = [];
  for (const [key, item] of Object.entries(value)) {
    const result = fillJson(item, fill);
    if (!result.ok) return result;
    filled.push([key, result.value]);
  }
  return ok(Array.isArray(value) ? filled.map(([, item]) => item) : Object.fromEntries(filled));
}

/** The engine's image never gets onto the device: a local one has a name for messages alone. */
const LOCAL_DIND = 'stowage.local/dind';

function evaluateDind(
  bundle: Bundle,
  options: EvaluateOptions,
  { fill, reject, engineVersion }: Evaluation,
): Result<Pick<Wanted, 'dind' | 'dindLocal'>> {
  const dindAt = bundle.writtenAt['engine.dind'];
  const sourceOf = (
    text: string,
    at: Position | undefined,
  ): Result<Pick<Wanted, 'dind' | 'dindLocal'>, { readonly detail: string }> => {
    const source = parseSource(text);
    if (!source.ok) return source;
    if (source.value.kind === 'registry') return ok({ dind: source.value.reference });
    const dind = parseReference(`${LOCAL_DIND}:${engineVersion.replace(/[^\w.-]/g, '_')}`);
    return dind.ok ? ok({ dind: dind.value, dindLocal: locate(source.value.local, at) }) : dind;
  };
  if (options.dind !== undefined) {
    // A name alone is a registry's; `docker:28-dind` is one, and no transport.
    const named = options.dind.includes('://') || transportProblem(options.dind) === undefined;
    const source = sourceOf(named ? options.dind : `docker://${options.dind}`, undefined);
    return source.ok
      ? source
      : invalidOption('--dind', options.dind, `an image: ${source.failure.detail}`);
  }
  const filled = fill('engine.dind', bundle.engine.dind, dindAt);
  if (!filled.ok) return filled;
  const source = sourceOf(filled.value, dindAt);
  return source.ok ? source : reject('engine.dind', source.failure.detail, dindAt);
}
