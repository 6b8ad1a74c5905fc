import type { FeaturePreset, ImageOptions } from '../../ext4/image-writer.ts';
import type { Partition } from '../../model/bundle.ts';
import { FEATURE_PRESETS } from '../../model/ext4-features.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { GROWS_TO, INODES_PER_GROUP, journalSize } from '../../plan/ext4-geometry.ts';

/** Which features there are in a preset of the writer's. */
const JOURNAL = 'has_journal';
const PRESETS: readonly (readonly [FeaturePreset, readonly string[]])[] = [
  ['default', FEATURE_PRESETS.default],
  ['6.1', [...FEATURE_PRESETS.default, 'metadata_csum_seed']],
  ['6.12', [...FEATURE_PRESETS.default, 'metadata_csum_seed', 'orphan_file']],
];

/** Below this the smallest journal is the right one, which the writer would leave out of the smallest images. */
const SMALL = 96 * 1024 * 1024;

/**
 * The partition as the writer of images takes it, for content of `likely` bytes. Fails with `invalid-option` on features
 * that it does not write.
 */
export function imageOptions(
  partition: Partition,
  likely: number,
  identity: { readonly uuid: string; readonly hashSeed: string; readonly epoch: number },
): Result<ImageOptions> {
  const { label, size, headroom, inodes, reserved } = partition;
  const features = partition.features ?? FEATURE_PRESETS.default;
  const preset = presetOf(new Set([...features, JOURNAL]));
  if (preset === undefined)
    return fail({
      reason: 'invalid-option',
      option: 'partition.features',
      value: features.join(','),
      expected:
        'those of 5.15 or 6.1, or of 6.1 without orphan_file, and has_journal or not: --loader direct writes no others',
    });
  return ok({
    ...{ label, ...identity, features: preset, growTo: GROWS_TO },
    size: size === 'auto' ? size : size.bytes,
    headroom: 'percent' in headroom ? { ratio: headroom.percent / 100 } : headroom,
    reserved: (reserved ?? 0) / 100,
    ...(inodes === undefined ? {} : { inodes }),
    // As many as in a whole group, since every group that a device adds gets as many.
    ...(size === 'auto' ? { inodesPerGroup: INODES_PER_GROUP } : {}),
    ...journalOf(partition, likely),
  });
}

/** A device writes to the partition, and a power cut must not cost it: however small, it has a journal. */
function journalOf(
  { size, features = FEATURE_PRESETS.default }: Partition,
  likely: number,
): Pick<ImageOptions, 'journal'> {
  if (!features.includes(JOURNAL)) return { journal: 0 };
  if (size !== 'auto') return { journal: journalSize(size.bytes) };
  return likely < SMALL ? { journal: journalSize(likely) } : {};
}

function presetOf(features: ReadonlySet<string>): FeaturePreset | undefined {
  const isAs = (names: readonly string[]): boolean =>
    names.length === features.size && names.every((name) => features.has(name));
  return PRESETS.find(([, names]) => isAs(names))?.[0];
}
