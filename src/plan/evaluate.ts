import type { Bundle, BundleFile } from '../model/bundle.ts';
import { dataRootProblem, isWithin, pathProblem } from '../model/bundle-paths.ts';
import { parseSource } from '../model/bundle-source.ts';
import type { Catalog } from '../model/catalog-document.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference, parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok, unreachable } from '../model/result.ts';
import type { EvaluateOptions, Evaluation } from './evaluation.ts';
import { invalidOption, startEvaluation } from './evaluation.ts';
import type { Wanted, WantedFile, WantedImage } from './wanted.ts';

export type { EvaluateOptions } from './evaluation.ts';

/** Where the catalog is to be read from, before there is one; undefined where the bundle has none. */
export function catalogAddress(
  bundle: Bundle,
  options: EvaluateOptions,
): Result<string | undefined> {
  if (bundle.catalog === undefined) return ok(undefined);
  const evaluation = startEvaluation(bundle, options, undefined);
  return evaluation.ok ? evaluation.value.address('catalog', bundle.catalog) : evaluation;
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
  const { name, store } = bundle.engine;
  return ok({
    target: evaluation.target(),
    platform: options.platform,
    vars: evaluation.vars,
    ...(catalog === undefined
      ? {}
      : { catalog: { from: catalog.from, values: Object.fromEntries(evaluation.catalogValues) } }),
    partition: bundle.partition,
    engine: { name, store, version: evaluation.engineVersion },
    dind: dind.value,
    images: images.value,
    files: files.value,
  });
}

function evaluateImages(
  bundle: Bundle,
  { fill, reject }: Evaluation,
): Result<Readonly<Record<string, WantedImage>>> {
  const images = new Map<string, WantedImage>();
  const owners = new Map<string, { image: string; reference: string }>();
  for (const [name, { from, tags, at }] of Object.entries(bundle.images)) {
    const where = `images.${name}`;
    const source = fill(`${where}.from`, from, at);
    if (!source.ok) return source;
    const reference = parseSource(source.value);
    if (!reference.ok) return reject(`${where}.from`, reference.failure.detail, at);

    const names = new Set<string>();
    const own = taggedName(reference.value);
    if (own !== undefined) names.add(own);
    for (const [index, tag] of tags.entries()) {
      const tagAt = `${where}.tags[${index}]`;
      const filled = fill(tagAt, tag, at);
      if (!filled.ok) return filled;
      const full = parseTag(filled.value);
      if (!full.ok) return reject(tagAt, full.failure.detail, at);
      names.add(full.value);
    }
    if (names.size === 0) {
      return reject(
        where,
        'it is named by its digest alone; give it a tag, or a name under tags',
        at,
      );
    }
    for (const full of names) {
      const owner = owners.get(full);
      const wanted = formatReference(reference.value);
      if (owner !== undefined && owner.reference !== wanted) {
        const detail = `its name ${full} is also that of images.${owner.image}, which is another image`;
        return reject(where, detail, at);
      }
      owners.set(full, { image: name, reference: wanted });
    }
    images.set(name, { reference: reference.value, names: [...names].sort() });
  }
  return ok(Object.fromEntries(images));
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
      return url.ok ? ok({ kind: 'url', mode, url: url.value }) : url;
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

function evaluateDind(
  bundle: Bundle,
  options: EvaluateOptions,
  { fill, reject }: Evaluation,
): Result<Reference> {
  if (options.dind !== undefined) {
    const text = options.dind.includes('://') ? options.dind : `docker://${options.dind}`;
    const reference = parseSource(text);
    return reference.ok
      ? reference
      : invalidOption('--dind', options.dind, `an image: ${reference.failure.detail}`);
  }
  const filled = fill('engine.dind', bundle.engine.dind);
  if (!filled.ok) return filled;
  const reference = parseSource(filled.value);
  return reference.ok ? reference : reject('engine.dind', reference.failure.detail);
}
