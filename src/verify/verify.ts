import { stat } from 'node:fs/promises';
import { overlay2Paths } from '../data-root/overlay2-store.ts';
import type { EngineStore } from '../model/bundle.ts';
import type { Place } from '../ext4/partition.ts';
import { findOffset, readFacts } from '../ext4/reader/open-image.ts';
import type { Context } from '../model/event.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { checkFileSystem } from '../tools/e2fsprogs.ts';
import { usersOf } from '../tools/loop-devices.ts';
import { checkBlobs, checkLabels } from './check-blobs.ts';
import { checkDriverLayers } from './check-graph-driver.ts';
import { checkFiles, checkLeftovers } from './check-files.ts';
import { checkNames } from './check-names.ts';
import { checkOverlay2 } from './check-overlay2.ts';
import { checkNothingUnpacked, checkSnapshots } from './check-snapshots.ts';
import { checkUnpacked } from './check-unpacked.ts';
import { derivePins } from './derive-pins.ts';
import { Inspection } from './inspection.ts';
import { readStoredContent } from './stored-content.ts';

/** What a data image should be. */
export interface ExpectedImage {
  readonly pins: TargetPins;
  /** Relative to the partition's root: `docker`. */
  readonly dataRoot: string;
  /** The ext4 label; not checked where it is absent. */
  readonly label?: string | undefined;
  /** Where the device's engine keeps images; whatever is found, where it is absent. */
  readonly store?: EngineStore | undefined;
  /** False where images are kept packed: then nothing may be unpacked. Default true. */
  readonly unpack?: boolean | undefined;
  /** True where e2fsck need not be on this machine: where it is it is run. Default false. */
  readonly withoutChecker?: boolean | undefined;
  /** Whether the files of snapshots are compared with the layers, which takes as long as unpacking them. Default false. */
  readonly contents?: boolean | undefined;
  /** True where an engine has run on it: what is there besides is news then, and no finding. Default false. */
  readonly used?: boolean | undefined;
  /** Where the partition is in a disk image; default: the whole file. */
  readonly place?: Place | undefined;
}

/** What was found to be right. */
export interface VerifySummary {
  readonly images: number;
  /** Blobs hashed, each once, and their bytes. */
  readonly blobs: number;
  readonly bytes: number;
  readonly snapshots: number;
  readonly files: number;
  /** Files of snapshots that were compared with their layers. */
  readonly unpackedFiles: number;
  /** What is there besides, of an image that was in use: phrases. */
  readonly news: readonly string[];
}

/**
 * Compares a data image with its pins: docs/verify.md says what is checked and what is not. Starts no engine,
 * mounts nothing, needs no root and changes nothing.
 *
 * Fails with `not-verified` and everything it found, `invalid-document` where there is no such file,
 * `output-in-use` where the image is attached to a loop device, `tool-missing` without e2fsprogs.
 */
export async function verifyDataImage(
  image: string,
  expected: ExpectedImage,
  context: Context,
): Promise<Result<VerifySummary>> {
  return inspect(image, expected, context);
}

/**
 * Compares a data image with itself, where nobody knows the pins: whatever images its engine lists must be whole
 * and unpacked. Files outside the data root can't be judged.
 */
export async function verifyConsistency(
  image: string,
  expected: Omit<ExpectedImage, 'pins'>,
  context: Context,
): Promise<Result<VerifySummary>> {
  return inspect(image, expected, context);
}

async function inspect(
  image: string,
  expected: Omit<ExpectedImage, 'pins'> & { readonly pins?: TargetPins },
  context: Context,
): Promise<Result<VerifySummary>> {
  context.report({ type: 'step', step: 'verify', detail: image });
  const users = await usersOf(image);
  if (users.length > 0) return fail({ reason: 'output-in-use', output: image, by: users });
  const { place, used } = expected;
  const inspection = new Inspection(image, context, { place, used });
  const opened = await checkSuperblock(inspection, expected.label, place);
  if (!opened.ok) return opened;
  const [checked, summary] = await Promise.all([
    // e2fsprogs take what is behind the question mark for options.
    checkFileSystem(
      opened.value === 0 ? image : `${image}?offset=${opened.value}`,
      'read only',
      context.signal,
    ),
    checkContent(inspection, expected).finally(() => inspection.close()),
  ]);
  const isSpared =
    expected.withoutChecker === true && !checked.ok && checked.failure.reason === 'tool-missing';
  if (!isSpared) inspection.settle(checked);
  if (inspection.failure !== undefined) return fail(inspection.failure);
  if (inspection.findings.length > 0)
    return fail({ reason: 'not-verified', image, findings: inspection.findings });
  const { images, blobs, files } = summary;
  context.report({ type: 'verified', image, images, blobs, files });
  return ok({ ...summary, news: inspection.news });
}

async function checkContent(
  inspection: Inspection,
  expected: Omit<ExpectedImage, 'pins'> & { readonly pins?: TargetPins },
): Promise<Omit<VerifySummary, 'news'>> {
  const store = await findStore(inspection, expected.dataRoot);
  let summary = { images: 0, blobs: 0, bytes: 0, snapshots: 0, files: 0, unpackedFiles: 0 };
  if (store !== undefined && expected.store !== undefined && store !== expected.store)
    inspection.find(
      `${expected.dataRoot} is a data root of ${store}, and the engine has ${expected.store}`,
    );
  else if (store === 'overlay2') {
    const { dataRoot, pins } = expected;
    const { layers: unpacked, ...checked } = await checkOverlay2(inspection, dataRoot, pins);
    const unpackedFiles =
      expected.contents === true ? await checkDriverLayers(inspection, unpacked) : 0;
    summary = { ...summary, ...checked, unpackedFiles };
    const { repositories, configs, layers, driver } = overlay2Paths(dataRoot);
    const kept = [repositories, configs, layers, driver, ...Object.keys(pins?.files ?? {})];
    await checkLeftovers(inspection, dataRoot, kept);
  } else if (store === 'containerd')
    summary = { ...summary, ...(await checkContainerd(inspection, expected)) };
  if (expected.pins !== undefined) {
    const files = await checkFiles(inspection, expected.pins.files, expected.dataRoot);
    summary = { ...summary, files };
  }
  return summary;
}

async function checkContainerd(
  inspection: Inspection,
  expected: Omit<ExpectedImage, 'pins'> & { readonly pins?: TargetPins },
): Promise<Omit<VerifySummary, 'files' | 'news'> | undefined> {
  const unpacked = expected.unpack !== false;
  const content = await readStoredContent(inspection, expected.dataRoot, unpacked);
  if (content === undefined) return undefined;
  const pins = expected.pins ?? (await derivePins(inspection, content));
  checkNames(inspection, pins, content);
  const hashed = await checkBlobs(inspection, pins, content);
  await checkLabels(inspection, pins, content);
  const { snapshots, layers } = unpacked
    ? await checkSnapshots(inspection, pins, content)
    : await checkNothingUnpacked(inspection, content);
  const unpackedFiles = expected.contents === true ? await checkUnpacked(inspection, layers) : 0;
  const { blobs, metaDb, snapshotsDb, snapshots: directories } = content.paths;
  const kept = [blobs, metaDb, snapshotsDb, directories, ...Object.keys(pins.files)];
  await checkLeftovers(inspection, expected.dataRoot, kept);
  // Without pins there is one for each name.
  const images = new Set(Object.values(pins.images).map(({ manifest }) => manifest.digest));
  const count = expected.pins === undefined ? images.size : Object.keys(pins.images).length;
  return { ...hashed, snapshots, unpackedFiles, images: count };
}

/** A graph driver has its images in `image/`, which containerd's store never has. */
async function findStore(
  inspection: Inspection,
  dataRoot: string,
): Promise<EngineStore | undefined> {
  const entries = await inspection.list(`/${dataRoot}`, 'the data root');
  if (entries === undefined) return undefined;
  return entries.some((entry) => entry.name === 'image') ? 'overlay2' : 'containerd';
}

/**
 * A file that is there and is no whole file system is a finding: it is what was shipped. Where it begins in the file, in
 * bytes.
 */
async function checkSuperblock(
  inspection: Inspection,
  label: string | undefined,
  place: Place | undefined,
): Promise<Result<number>> {
  const { image } = inspection;
  const facts = await readFacts(image, place);
  if (!facts.ok) {
    const { failure } = facts;
    const findings = failure.reason === 'image-corrupt' ? [failure.detail] : detailsOf(failure);
    return findings.length > 0 && (await isFile(image))
      ? fail({ reason: 'not-verified', image, findings })
      : facts;
  }
  const { clean, needsRecovery } = facts.value;
  if (needsRecovery || !clean) inspection.find('the file system was not unmounted properly');
  if (label !== undefined && facts.value.label !== label)
    inspection.find(`the label is ${JSON.stringify(facts.value.label)} instead of "${label}"`);
  return place === undefined ? ok(0) : findOffset(image, place);
}

function detailsOf(failure: Failure): readonly string[] {
  return failure.reason === 'invalid-document'
    ? failure.problems.map((problem) => problem.detail)
    : [];
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
