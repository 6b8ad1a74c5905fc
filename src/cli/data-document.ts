import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { digestOf } from '../model/digest.ts';
import type { TargetPins } from '../model/pins.ts';
import { formatPins, parsePins, targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Wanted } from '../plan/wanted.ts';
import { errorCode } from '../store/file-failure.ts';

/** data.json: what is baked into a data image, for people, update servers and `stowage verify`. */
export interface DataDocument {
  readonly label: string;
  readonly dataRoot: string;
  readonly pins: TargetPins;
}

export interface Baked {
  /** The data image's path; its name alone is written. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  readonly loader: string;
  readonly wanted: Wanted;
  readonly pins: TargetPins;
  /** Names and versions of what made it. */
  readonly tools: Readonly<Record<string, string>>;
}

const FORMAT = 1;

/** The text of data.json: sorted and fixed, so that the same build gives the same bytes. */
export function formatDataDocument(baked: Baked): string {
  const { wanted, pins } = baked;
  const document = {
    'stowage-data': FORMAT,
    image: { file: basename(baked.file), size: baked.size, label: wanted.partition.label },
    dataRoot: wanted.partition.dataRoot,
    engine: wanted.engine,
    loader: baked.loader,
    tools: Object.fromEntries(Object.entries(baked.tools).sort(([a], [b]) => (a < b ? -1 : 1))),
    // Everything that the content depends on; the tools' versions may change how it is laid out.
    fingerprint: digestOf(
      JSON.stringify([
        formatPins(single(pins)),
        wanted.partition,
        wanted.engine,
        baked.loader,
        baked.tools,
      ]),
    ),
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
  let document: {
    'stowage-data'?: unknown;
    image?: { label?: unknown };
    dataRoot?: unknown;
    pins?: unknown;
  } | null;
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
  return ok({ label: image.label, dataRoot, pins: target });
}

function single(pins: TargetPins): Parameters<typeof formatPins>[0] {
  return { targets: { [targetKey(pins.target)]: pins } };
}

function invalid(file: string, detail: string): Result<never> {
  return fail({ reason: 'invalid-document', kind: 'data.json', file, problems: [{ detail }] });
}
