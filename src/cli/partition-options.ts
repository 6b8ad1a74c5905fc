import type { InferredOptionTypes, Options } from 'yargs';
import type { Partition } from '../model/bundle.ts';
import { dataRootProblem, pathProblem } from '../model/bundle-paths.ts';
import { headroomRemark, parseHeadroom, parseSize } from '../model/bundle-size.ts';
import { featureWords, parseFeatures } from '../model/ext4-features.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { parseUuid } from '../model/uuid.ts';
import type { Wanted } from '../plan/wanted.ts';

const text = { type: 'string', requiresArg: true } as const satisfies Options;

/** The options that overrule the bundle's partition. */
export const partitionOptions = {
  size: {
    ...text,
    describe: "the partition's size, such as 1280M, or auto; instead of the bundle's",
  },
  headroom: {
    ...text,
    describe: 'room left free where the size is auto, such as 10% or 200M',
  },
  label: {
    ...text,
    describe: "the partition's label, instead of the bundle's",
  },
  uuid: {
    ...text,
    describe:
      "the file system's UUID; without it a random one, or with SOURCE_DATE_EPOCH the pins'",
  },
  features: {
    ...text,
    describe:
      'ext4 features: 5.15, 6.1 or 6.12 for the oldest Linux, and names after commas, -name for without: --features=-has_journal',
  },
  'data-root': {
    ...text,
    describe: "the engine's data root, from the partition's root, instead of the bundle's",
  },
} as const satisfies Record<string, Options>;

export type PartitionArguments = Partial<InferredOptionTypes<typeof partitionOptions>>;

export function withPartition(wanted: Wanted, args: PartitionArguments): Result<Wanted> {
  const size = optional(args.size, parseSize);
  if (size === 'wrong') return wrong('size', args.size, 'auto, or a size such as 1280M or 2G');
  const headroom = optional(args.headroom, parseHeadroom);
  if (headroom === 'wrong')
    return wrong(
      'headroom',
      args.headroom,
      `a percentage such as 10%, or a size such as 200M${headroomRemark(args.headroom ?? '')}`,
    );
  const { label } = args;
  if (label !== undefined && (Buffer.byteLength(label) > 16 || /[{}/\s]|\p{Cc}/u.test(label)))
    return wrong(
      'label',
      label,
      'at most 16 bytes, with no white space, slash, brace or control character',
    );
  const uuid = optional(args.uuid, parseUuid);
  if (uuid === 'wrong')
    return wrong('uuid', args.uuid, 'a UUID such as 5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab');
  const features =
    args.features === undefined ? undefined : parseFeatures(featureWords(args.features));
  if (features?.ok === false)
    return wrong(
      'features',
      args.features,
      `a preset, names or both, with commas: ${features.failure.detail}`,
    );
  const dataRoot = args['data-root'];
  const problem = dataRoot === undefined ? undefined : placeProblem(dataRoot, wanted);
  if (problem !== undefined)
    return wrong('data-root', dataRoot, `a directory from the partition's root: ${problem}`);
  const partition: Partition = {
    ...wanted.partition,
    ...(size === undefined ? {} : { size: size.value }),
    ...(headroom === undefined ? {} : { headroom: headroom.value }),
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid: uuid.value }),
    ...(features === undefined ? {} : { features: features.value }),
    ...(dataRoot === undefined ? {} : { dataRoot }),
  };
  return ok({ ...wanted, partition });
}

/** Why the engine's data root can't be at `dataRoot` beside the files that are wanted, as a phrase. */
function placeProblem(dataRoot: string, { files }: Wanted): string | undefined {
  const problem = pathProblem(dataRoot);
  if (problem !== undefined) return problem;
  for (const path of Object.keys(files)) {
    const inside = dataRootProblem(path, dataRoot);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

function optional<T extends string | object>(
  given: string | undefined,
  parse: (text: string) => T | undefined,
): { readonly value: T } | undefined | 'wrong' {
  if (given === undefined) return undefined;
  const value = parse(given);
  return value === undefined ? 'wrong' : { value };
}

function wrong(option: string, value: string | undefined, expected: string): Result<never> {
  return fail({ reason: 'invalid-option', option: `--${option}`, value: value ?? '', expected });
}
