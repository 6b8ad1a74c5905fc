import { stat } from 'node:fs/promises';
import type { Context } from '../model/event.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { checkFileSystem } from '../tools/e2fsprogs.ts';
import { readSuperblock } from '../tools/ext4-superblock.ts';
import { usersOf } from '../tools/loop-devices.ts';
import { checkBlobs, checkLabels } from './check-blobs.ts';
import { checkFiles, checkLeftovers } from './check-files.ts';
import { checkNames } from './check-names.ts';
import { checkSnapshots } from './check-snapshots.ts';
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
}

/** What was found to be right. */
export interface VerifySummary {
  readonly images: number;
  /** Blobs hashed, each once, and their bytes. */
  readonly blobs: number;
  readonly bytes: number;
  readonly snapshots: number;
  readonly files: number;
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
  const inspection = new Inspection(image, context);
  const opened = await checkSuperblock(inspection, expected.label);
  if (!opened.ok) return opened;
  inspection.settle(await checkFileSystem(image, 'read only', context.signal));

  const content = await readStoredContent(inspection, expected.dataRoot);
  const pins =
    expected.pins ?? (content === undefined ? undefined : await derivePins(inspection, content));
  let summary: VerifySummary = { images: 0, blobs: 0, bytes: 0, snapshots: 0, files: 0 };
  if (content !== undefined && pins !== undefined) {
    checkNames(inspection, pins, content);
    const hashed = await checkBlobs(inspection, pins, content);
    await checkLabels(inspection, pins, content);
    const snapshots = await checkSnapshots(inspection, pins, content);
    await checkLeftovers(inspection, expected.dataRoot, content.paths, pins.files);
    summary = { ...summary, ...hashed, snapshots, images: Object.keys(pins.images).length };
  }
  if (expected.pins !== undefined) {
    const files = await checkFiles(inspection, expected.pins.files, expected.dataRoot);
    summary = { ...summary, files };
  }

  if (inspection.failure !== undefined) return fail(inspection.failure);
  if (inspection.findings.length > 0)
    return fail({ reason: 'not-verified', image, findings: inspection.findings });
  const { images, blobs, files } = summary;
  context.report({ type: 'verified', image, images, blobs, files });
  return ok(summary);
}

/** A file that is there and is no whole file system is a finding: it is what was shipped. */
async function checkSuperblock(
  inspection: Inspection,
  label: string | undefined,
): Promise<Result<void>> {
  const superblock = await readSuperblock(inspection.image);
  if (!superblock.ok) {
    const { failure } = superblock;
    if (failure.reason !== 'invalid-document' || !(await isFile(inspection.image)))
      return superblock;
    const findings = failure.problems.map((problem) => problem.detail);
    return fail({ reason: 'not-verified', image: inspection.image, findings });
  }
  const { clean, needsRecovery } = superblock.value;
  if (needsRecovery || !clean) inspection.find('the file system was not unmounted properly');
  if (label !== undefined && superblock.value.label !== label)
    inspection.find(`the label is ${JSON.stringify(superblock.value.label)} instead of "${label}"`);
  return ok();
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
