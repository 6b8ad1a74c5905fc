import type { BigIntStats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { BuildPlan } from '../model/build-plan.ts';
import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Changes } from '../plan/changes.ts';
import { imageChanges, isNothing } from '../plan/changes.ts';
import type { BuildSettings } from '../plan/fingerprint.ts';
import { acquireLock } from '../store/store-lock.ts';
import { checkFileSystem } from '../tools/e2fsprogs.ts';
import { readSuperblock } from '../tools/ext4-superblock.ts';
import { usersOf } from '../tools/loop-devices.ts';
import { checkDocuments } from './check-documents.ts';
import { checkDirectory, checkSpace, checkStore } from './check-inputs.ts';
import { contentOf } from './content.ts';
import { formatDataDocument } from './data-document.ts';
import type { ExistingContent } from './existing.ts';
import { readExisting } from './existing.ts';
import { explain } from './explain.ts';
import { isStill } from './last-result.ts';
import type { BuildRequest, Loader, WorkFiles } from './loader.ts';
import { placeResult } from './place-result.ts';
import { updateImage } from './update.ts';
import {
  lockOf,
  makeWorkDirectory,
  removeWorkDirectory,
  workDirectoryOf,
} from './work-directory.ts';

export interface IntoOptions {
  readonly output: string;
  /** The data image that is added to: absolute. It is only read; it may be the output. */
  readonly into: string;
  readonly settings: BuildSettings;
  readonly dryRun: boolean;
  readonly dindPlatform?: string;
  /** Proves that the engine's part of an image is whole, whatever images are in it. */
  readonly proveWhole: (image: string) => Promise<Result<void>>;
}

/** Bytes: what every step that fits a file system's size counts in. */
const BLOCK = 4096;

/**
 * Adds to a data image what it lacks of the request, and keeps what is there: images under all their names, and
 * files. Where both have something else under one name or path, nothing is done: `into-refused` says of what.
 */
export async function buildInto(
  request: BuildRequest,
  options: IntoOptions,
  loader: Loader,
  context: Context,
): Promise<Result<{ readonly plan: BuildPlan; readonly size?: number }>> {
  const { output } = options;
  const checked = await checkDirectory(dirname(output), output);
  if (!checked.ok) return checked;
  const work = workDirectoryOf(output);
  const lock = options.dryRun
    ? undefined
    : await acquireLock(lockOf(work), context, { what: output });
  if (lock?.ok === false) return lock;
  try {
    const planned = await planInto(request, options, context);
    if (!planned.ok) return planned;
    const { changes, size } = planned.value;
    const plan: BuildPlan = { how: 'into', image: options.into, changes: changes.summary };
    if (isNothing(changes) && options.into === output)
      return ok({ plan: { how: 'nothing' }, size });
    const ready = await checkReady(request, options, planned.value, loader, context);
    if (!ready.ok) return ready;
    if (lock === undefined) return ok({ plan });
    context.report({ type: 'build-planned', output, plan });
    const reaped = await loader.reap(work, context);
    if (!reaped.ok) return reaped;
    const made = await makeWorkDirectory(output);
    if (!made.ok) return made;
    try {
      const added = await add(request, options, planned.value, made.value, loader, context);
      if (!added.ok) return await explain(added, request, made.value.directory);
      const { settings } = options;
      const { pins } = planned.value;
      const placed = await placeResult(
        made.value,
        output,
        lock.value,
        (bytes) =>
          formatDataDocument({ file: output, size: bytes, settings, pins, tools: {}, into: true }),
        () => Promise.resolve(),
      );
      return placed.ok ? ok({ plan, size: placed.value }) : placed;
    } finally {
      const removed = await removeWorkDirectory(made.value.directory);
      if (!removed.ok)
        context.report({
          type: 'undo-failed',
          what: 'remove the work directory',
          failure: removed.failure,
        });
    }
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return fail(fileFailure(error, output, 'writing the data image'));
  } finally {
    if (lock?.ok === true) await lock.value.release();
  }
}

/** What is to be added is in the store, is what the pins say, and can be added here. */
async function checkReady(
  request: BuildRequest,
  options: IntoOptions,
  { changes, pins }: Planned,
  loader: Loader,
  context: Context,
): Promise<Result<void>> {
  const { store } = request;
  const part = { ...request.pins, ...missing(request, changes) };
  const complete = await checkStore(store, part, options.dindPlatform);
  if (!complete.ok) return complete;
  const consistent = await checkDocuments(store, part);
  if (!consistent.ok) return consistent;
  const roomy = await checkSpace(request, dirname(options.output), contentOf(part, store));
  if (!roomy.ok) return roomy;
  const { load, rename } = changes.images;
  // The loader looks by itself before it changes anything.
  if (!options.dryRun || Object.keys(load).length + rename.length === 0) return ok();
  return loader.check({ ...request, pins }, context);
}

interface Planned {
  readonly existing: ExistingContent;
  readonly changes: Changes;
  /** Of all that will be there, as far as pins can say it. */
  readonly pins: TargetPins;
  readonly size: number;
  /** The image's file before anything of it was read. */
  readonly before: BigIntStats;
}

async function planInto(
  request: BuildRequest,
  options: IntoOptions,
  context: Context,
): Promise<Result<Planned>> {
  const { into } = options;
  const users = await usersOf(into);
  if (users.length > 0) return fail({ reason: 'output-in-use', output: into, by: users });
  const before = await stat(into, { bigint: true }).catch(() => undefined);
  const superblock = await readSuperblock(into);
  if (!superblock.ok) return superblock;
  if (before === undefined) return fail(writtenTo(into));
  context.report({ type: 'step', step: 'read image', detail: into });
  const sound = await checkFileSystem(into, 'read only', context.signal);
  if (!sound.ok) return sound;
  const { dataRoot, label } = request.wanted.partition;
  const read = await readExisting(into, dataRoot, context.signal);
  if (!read.ok) return read;
  const existing = read.value;
  const { store, unpack } = request.wanted.engine;
  const conflicts = [
    ...(store === 'containerd'
      ? []
      : [`only images for containerd's store can be added, not ${store}`]),
    ...(unpack
      ? []
      : ['only images whose content is unpacked can be added, and the bundle wants them packed']),
    ...(superblock.value.blockSize === BLOCK
      ? []
      : [`its file system has blocks of ${superblock.value.blockSize} bytes, not ${BLOCK}`]),
    ...existing.state,
    ...imageConflicts(existing, request.pins),
  ];
  const files = fileConflicts(existing, request.pins, conflicts);
  if (conflicts.length > 0) return fail({ reason: 'into-refused', image: into, conflicts });

  const merged = mergeImages(existing.images, request.pins.images);
  const pins: TargetPins = {
    ...request.pins,
    images: merged,
    files: { ...existing.files, ...request.pins.files },
  };
  const images = imageChanges({ ...pins, images: existing.images }, pins);
  const relabel = superblock.value.label !== label;
  const summary = {
    images: Object.keys(pins.images).length,
    changed: [],
    added: Object.keys(images.load),
    removed: [],
    renamed: images.rename.map(({ names }) => names[0] ?? ''),
    files,
    label: relabel,
  };
  const changes: Changes = {
    images,
    files: { write: files, remove: [] },
    ...(relabel ? { label } : {}),
    summary,
  };
  return ok({ existing, changes, pins, size: Number(before.size), before });
}

/** The same name for something else, and pins that say something else of an image that is there. */
function imageConflicts(existing: ExistingContent, pins: TargetPins): string[] {
  const pinsThere = new Map(Object.values(existing.images).map((pin) => [idOf(pin), pin]));
  const there = new Map(
    Object.values(existing.images).flatMap((pin) => pin.names.map((name) => [name, idOf(pin)])),
  );
  return Object.entries(pins.images).flatMap(([owner, pin]) => {
    const same = pinsThere.get(idOf(pin));
    const isOther = same?.manifest.digest === pin.manifest.digest && partsOf(same) !== partsOf(pin);
    return [
      ...(isOther ? [`image ${owner}: the pins give ${idOf(pin)} other parts than it has`] : []),
      ...pin.names.flatMap((name) => {
        const id = there.get(name);
        if (id === undefined || id === idOf(pin)) return [];
        return [`image ${owner}: ${name} is ${id} there, pinned is ${idOf(pin)}`];
      }),
    ];
  });
}

/** What data.json would say of it, and nobody would look at, as it is not loaded. */
function partsOf({ manifest, config, layers }: ImagePin): string {
  return [manifest, config, ...layers].map(({ digest, size }) => `${digest} ${size}`).join('\n');
}

/** Adds what stands in the way to `conflicts`, and returns the files that are to be written. */
function fileConflicts(
  { tree, files }: ExistingContent,
  pins: TargetPins,
  conflicts: string[],
): string[] {
  return Object.entries(pins.files).flatMap(([path, pin]) => {
    const above = path
      .split('/')
      .slice(0, -1)
      .map((_, i, names) => names.slice(0, i + 1).join('/'));
    for (const parent of above)
      if (tree.has(parent)) conflicts.push(`file ${path}: ${parent} is no directory there`);
    const there = Object.hasOwn(files, path) ? files[path] : undefined;
    if (there?.sha256 === pin.sha256 && there.mode === pin.mode) return [];
    if (tree.has(path) || tree.has(`${path}/`))
      conflicts.push(`file ${path}: something else is there (${tree.get(path) ?? 'a directory'})`);
    return [path];
  });
}

/** What the bundle calls an image goes before; what it does not have keeps its own name. */
function mergeImages(
  existing: Readonly<Record<string, ImagePin>>,
  wanted: Readonly<Record<string, ImagePin>>,
): Record<string, ImagePin> {
  const merged: Record<string, ImagePin> = {};
  const byId = new Map(Object.values(existing).map((pin) => [idOf(pin), pin.names]));
  for (const [name, pin] of Object.entries(wanted)) {
    const names = [...new Set([...pin.names, ...(byId.get(idOf(pin)) ?? [])])].sort();
    merged[name] = { ...pin, names };
  }
  const known = new Set(Object.values(wanted).map(idOf));
  for (const [name, pin] of Object.entries(existing))
    if (!known.has(idOf(pin))) merged[Object.hasOwn(wanted, name) ? `${name} (kept)` : name] = pin;
  return merged;
}

function idOf(pin: ImagePin): string {
  return (pin.keptIndex ?? pin.manifest).digest;
}

function missing(request: BuildRequest, changes: Changes): Pick<TargetPins, 'images' | 'files'> {
  const files = Object.entries(request.pins.files).filter(([path]) =>
    changes.files.write.includes(path),
  );
  return { images: changes.images.load, files: Object.fromEntries(files) };
}

async function add(
  request: BuildRequest,
  options: IntoOptions,
  { existing, changes, pins, before }: Planned,
  work: WorkFiles,
  loader: Loader,
  context: Context,
): Promise<Result<void>> {
  const original = await realpath(options.into);
  const all = { ...request, pins };
  const updated = await updateImage(all, work, { original, changes }, loader, context);
  if (!updated.ok) return updated;
  if (!(await isStill(original, before))) return fail(writtenTo(original));
  context.report({ type: 'step', step: 'verify' });
  const whole = await options.proveWhole(work.image);
  if (!whole.ok) return whole;
  const after = await readExisting(work.image, request.wanted.partition.dataRoot, context.signal);
  if (!after.ok) return after;
  const findings = [
    ...namesMissing(pins, after.value),
    ...treeDifferences(existing, after.value, pins),
  ];
  if (findings.length > 0)
    return fail({ reason: 'not-verified', image: basename(options.output), findings });
  for (const [path, about] of after.value.tree)
    if (!isDescribed(path, pins))
      context.report({
        type: 'warning',
        about: path,
        detail: `data.json can't describe it (${about}), so that verify will name it`,
      });
  if (context.signal.aborted) return fail(interruption(context.signal));
  return ok();
}

function writtenTo(image: string): Failure {
  return { reason: 'output-in-use', output: image, by: ['somebody who writes to it'] };
}

function namesMissing(pins: TargetPins, after: ExistingContent): string[] {
  const listing = (images: Readonly<Record<string, ImagePin>>): Map<string, string> =>
    new Map(
      Object.values(images).flatMap((pin) => pin.names.map((name) => [name, idOf(pin)] as const)),
    );
  const wanted = listing(pins.images);
  const found = listing(after.images);
  return [...new Set([...wanted.keys(), ...found.keys()])]
    .filter((name) => wanted.get(name) !== found.get(name))
    .map(
      (name) => `${name} is ${found.get(name) ?? 'missing'}, not ${wanted.get(name) ?? 'there'}`,
    );
}

/** All that was there is there and is the same; what is new are pinned files and the directories above them. */
function treeDifferences(
  before: ExistingContent,
  after: ExistingContent,
  pins: TargetPins,
): string[] {
  const findings: string[] = [];
  for (const [path, about] of before.tree)
    if (after.tree.get(path) !== about)
      findings.push(`${path} was ${about} and is ${after.tree.get(path) ?? 'gone'}`);
  for (const path of after.tree.keys())
    if (!before.tree.has(path) && !isDescribed(path, pins)) findings.push(`${path} is new`);
  for (const [path, pin] of Object.entries(pins.files))
    if (after.files[path]?.sha256 !== pin.sha256 || after.files[path].mode !== pin.mode)
      findings.push(`file ${path} is not as pinned`);
  return findings;
}

/** A pinned file, or a directory above one. */
function isDescribed(path: string, pins: TargetPins): boolean {
  if (!path.endsWith('/')) return Object.hasOwn(pins.files, path);
  return Object.keys(pins.files).some((file) => file.startsWith(path));
}
