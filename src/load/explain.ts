import { dirname } from 'node:path';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import { likelySize } from '../plan/size.ts';
import { availableSpace } from './check-inputs.ts';
import type { BuildRequest } from './loader.ts';

/** Free space, in bytes, under which a file system counts as full: what a failure in it was really about. */
const FULL = 8 * 1024 * 1024;

/** What no disk has to do with, however full it is. */
const OF_THE_INPUTS: ReadonlySet<Failure['reason']> = new Set([
  'interrupted',
  'blob-bad',
  'layer-bad',
  'pin-contradicted',
  'platform-mismatch',
  'platform-not-offered',
  'engine-unable',
  'engine-mislabelled',
  'engine-unreachable',
  'privilege-refused',
  'machine-lacks',
  'tool-missing',
  'output-in-use',
  'into-refused',
] as const);

/** A loader that ran out of space on the builder may fail in many ways: the disk tells, while it is still full. */
export async function explain(
  failed: Result<never>,
  request: BuildRequest,
  directory: string,
): Promise<Result<never>> {
  if (failed.ok || OF_THE_INPUTS.has(failed.failure.reason)) return failed;
  const available = await availableSpace(directory);
  if (available >= FULL) return failed;
  return fail({
    reason: 'no-space',
    where: dirname(directory),
    needed: likelySize(request.content),
    available,
  });
}
