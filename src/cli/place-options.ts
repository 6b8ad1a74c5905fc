import type { InferredOptionTypes, Options } from 'yargs';
import type { Place } from '../ext4/partition.ts';
import type { DataImageOptions } from '../inspect/data-image.ts';
import { pathProblem } from '../model/bundle-paths.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** Where in a disk image the partition is. */
export const placeOptions = {
  partition: {
    type: 'string',
    requiresArg: true,
    describe: 'of a disk image with a GUID partition table: the name of the partition to look at',
  },
  offset: {
    type: 'number',
    requiresArg: true,
    describe: 'of a disk image: where its partition begins, in bytes',
  },
} as const satisfies Record<string, Options>;

export function readPlace(
  args: Partial<InferredOptionTypes<typeof placeOptions>>,
): Result<Place | undefined> {
  const { partition, offset } = args;
  if (partition !== undefined && offset !== undefined)
    return fail({
      reason: 'invalid-option',
      option: '--offset',
      value: `${offset}`,
      expected: 'one of --partition and --offset, and not both',
    });
  if (partition !== undefined) return ok({ partition });
  if (offset === undefined) return ok(undefined);
  return Number.isSafeInteger(offset) && offset >= 0
    ? ok({ offset })
    : fail({
        reason: 'invalid-option',
        option: '--offset',
        value: `${offset}`,
        expected: 'a number of bytes',
      });
}

/** `--data-root`: a path on the partition, with or without a slash in front; empty for the partition itself. */
export function readDataRoot(given: string | undefined): Result<string | undefined> {
  const path = given?.replace(/^\/+|\/+$/g, '');
  const problem = path === undefined || path === '' ? undefined : pathProblem(path);
  return problem === undefined
    ? ok(path)
    : fail({
        reason: 'invalid-option',
        option: '--data-root',
        value: given ?? '',
        expected: `a path on the partition, such as docker: ${problem}`,
      });
}

/** What `inspect` and `diff` are told of data images. */
export const subjectOptions = {
  ...placeOptions,
  'data-root': {
    type: 'string',
    requiresArg: true,
    describe: "the engine's data root on the partition; the usual places without it",
  },
} as const satisfies Record<string, Options>;

export function readSubjectOptions(
  args: Partial<InferredOptionTypes<typeof subjectOptions>>,
): Result<DataImageOptions> {
  const place = readPlace(args);
  if (!place.ok) return place;
  const dataRoot = readDataRoot(args['data-root']);
  return dataRoot.ok ? ok({ place: place.value, dataRoot: dataRoot.value }) : dataRoot;
}
