import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { TargetPins } from '../model/pins.ts';
import { formatPins, parsePins, targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { BuildSettings } from '../plan/fingerprint.ts';
import { fingerprintOf, sortKeys } from '../plan/fingerprint.ts';
import { errorCode } from '../model/file-failure.ts';

/** data.json: what is baked into a data image, for people, update servers, `stowage verify` and the next build. */
export interface DataDocument {
  readonly label: string;
  readonly dataRoot: string;
  readonly pins: TargetPins;
  /** The file's own bytes: the same build makes the same. */
  readonly text: string;
  /** Bytes of the data image. */
  readonly size: number;
  /** What it was made by; absent where an older stowage, or `--into`, made it: then no build goes on from it. */
  readonly settings?: BuildSettings;
  readonly tools: Readonly<Record<string, string>>;
}

export interface Baked {
  /** The data image's path; its name alone is written. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  readonly settings: BuildSettings;
  readonly pins: TargetPins;
  /** Names and versions of what made it, besides stowage. */
  readonly tools: Readonly<Record<string, string>>;
  /** Added to what was there: `pins` describe all of it, and the settings do not say how it came to be. */
  readonly into?: boolean;
}

const FORMAT = 1;

/** The text of data.json: sorted and fixed, so that the same build gives the same bytes. */
export function formatDataDocument(baked: Baked): string {
  const { settings, pins } = baked;
  const tools = { stowage: settings.stowage, ...baked.tools };
  const document = {
    'stowage-data': FORMAT,
    image: { file: basename(baked.file), size: baked.size, label: settings.partition.label },
    dataRoot: settings.partition.dataRoot,
    engine: sortKeys(settings.engine),
    partition: sortKeys(settings.partition),
    loader: settings.loader,
    ...(settings.dind === undefined ? {} : { dind: settings.dind }),
    ...(settings.epoch === undefined ? {} : { sourceDateEpoch: settings.epoch }),
    tools: sortKeys(tools),
    ...(baked.into === true ? { into: true } : { fingerprint: fingerprintOf(settings, pins) }),
    pins: JSON.parse(formatPins(single(pins))) as unknown,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Undefined where there is none beside the image. */
export async function readDataDocument(file: string): Promise<Result<DataDocument | undefined>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ok(undefined);
    if (errorCode(error) === 'EISDIR') return invalid(file, 'this is a directory');
    return invalid(file, (error as Error).message);
  }
  let document: RawDocument | null;
  try {
    document = JSON.parse(text) as typeof document;
  } catch (error) {
    return invalid(file, (error as Error).message);
  }
  if (document?.['stowage-data'] !== FORMAT)
    return invalid(file, `it is no data.json of format ${FORMAT}`);
  const { image, dataRoot } = document;
  if (typeof image?.label !== 'string' || typeof dataRoot !== 'string')
    return invalid(file, 'it lacks image.label or dataRoot');
  const pins = parsePins(JSON.stringify(document.pins ?? null), file);
  if (!pins.ok) return pins;
  const [target, ...more] = Object.values(pins.value.targets);
  if (target === undefined || more.length > 0)
    return invalid(file, 'its pins are not those of one target');
  const settings = settingsOf(document, target);
  return ok({
    label: image.label,
    dataRoot,
    pins: target,
    text,
    size: typeof image.size === 'number' ? image.size : -1,
    ...(settings === undefined ? {} : { settings }),
    tools: toolsOf(document),
  });
}

interface RawDocument {
  readonly 'stowage-data'?: unknown;
  readonly image?: { readonly label?: unknown; readonly size?: unknown };
  readonly dataRoot?: unknown;
  readonly engine?: unknown;
  readonly partition?: unknown;
  readonly loader?: unknown;
  readonly dind?: unknown;
  readonly sourceDateEpoch?: unknown;
  readonly tools?: unknown;
  readonly fingerprint?: unknown;
  readonly pins?: unknown;
}

/** What was written is what it was made from only if the fingerprint says so too. */
function settingsOf(document: RawDocument, pins: TargetPins): BuildSettings | undefined {
  const { engine, partition, loader, dind, sourceDateEpoch: epoch, tools } = document;
  const stowage = (tools as { stowage?: unknown } | undefined)?.stowage;
  if (typeof engine !== 'object' || typeof partition !== 'object') return undefined;
  if (typeof loader !== 'string' || typeof stowage !== 'string') return undefined;
  const settings = {
    loader,
    stowage,
    ...(dind === undefined ? {} : { dind }),
    engine,
    partition,
    ...(epoch === undefined ? {} : { epoch }),
  } as BuildSettings;
  return fingerprintOf(settings, pins) === document.fingerprint ? settings : undefined;
}

/** Those that the loader named. */
function toolsOf({ tools }: RawDocument): Record<string, string> {
  if (typeof tools !== 'object' || tools === null) return {};
  return Object.fromEntries(
    Object.entries(tools).filter(
      (entry): entry is [string, string] => entry[0] !== 'stowage' && typeof entry[1] === 'string',
    ),
  );
}

function single(pins: TargetPins): Parameters<typeof formatPins>[0] {
  return { targets: { [targetKey(pins.target)]: pins } };
}

function invalid(file: string, detail: string): Result<never> {
  return fail({ reason: 'invalid-document', kind: 'data.json', file, problems: [{ detail }] });
}
