import type { InferredOptionTypes, Options } from 'yargs';
import type { ImageOptions } from '../ext4/image-writer.ts';
import type { Adjustments } from '../mkfs/make-image.ts';
import { headroomRemark, parseBytes, parseHeadroom, parseSize } from '../model/bundle-size.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { derivedUuid, parseUuid } from '../model/uuid.ts';

const text = { type: 'string', requiresArg: true } as const satisfies Options;

/** What an ext4 image is to be like. */
export const mkfsOptions = {
  label: { ...text, describe: 'the label: at most 16 bytes' },
  uuid: { ...text, describe: 'the UUID; without it one that is derived from the label' },
  'hash-seed': {
    ...text,
    describe: 'the seed of hashed directories, a UUID; without it derived from the UUID',
  },
  size: {
    ...text,
    default: 'auto',
    describe: 'the size, such as 1280M, or auto: what the content takes, and the headroom',
  },
  headroom: {
    ...text,
    default: '10%',
    describe: 'room left free where the size is auto: a percentage of the content, or a size',
  },
  owner: { ...text, describe: 'UID:GID that everything belongs to, instead of its own owner' },
  epoch: {
    ...text,
    describe:
      "seconds since 1970: the file system's own times; nothing in it is newer (SOURCE_DATE_EPOCH)",
  },
  xattrs: {
    choices: ['all', 'none'] as const,
    default: 'all' as const,
    describe: 'extended attributes to keep; those of a directory are read by getfattr',
  },
  features: {
    type: 'string',
    choices: ['default', '5.15', '6.1', '6.12'] as const,
    default: 'default' as const,
    describe: 'the oldest Linux that has to mount it',
  },
  'block-size': {
    type: 'string',
    choices: ['1024', '2048', '4096'] as const,
    default: '4096' as const,
    describe: 'bytes of a block',
  },
  'inode-size': {
    type: 'string',
    choices: ['128', '256', '512', '1024'] as const,
    default: '256' as const,
    describe: 'bytes of an inode',
  },
  inodes: {
    ...text,
    describe: 'least number of inodes; without it those in use and one for each 16 KiB',
  },
  reserved: { ...text, default: '5%', describe: 'percentage of the blocks kept for root' },
  journal: {
    ...text,
    describe: "the journal's size, 0 for none; without it as mke2fs chooses, at most 64M",
  },
  'grow-to': {
    ...text,
    describe: 'size up to which resize2fs can grow it without moving anything',
  },
} as const satisfies Record<string, Options>;

export type MkfsArguments = InferredOptionTypes<typeof mkfsOptions>;

export interface Wishes {
  readonly image: ImageOptions;
  readonly adjustments: Adjustments;
}

/** Largest timestamp of ext4, in seconds: 34 bits from 1901 on. */
const LATEST = 2 ** 34 - 2 ** 31 - 1;
const LARGEST_ID = 2 ** 32 - 2;
const LARGEST_INODES = 2 ** 32 - 1;

/**
 * The options as the writer has them. Without an epoch the file system's own times are 1970, whatever the clock says,
 * and times of files stay as they are: the bytes depend on the tree and the options alone.
 */
export function readMkfsOptions(
  args: MkfsArguments,
  sourceDateEpoch: number | undefined,
): Result<Wishes> {
  const size = args.size === 'auto' ? 'auto' : parseSize(args.size);
  if (size === undefined) return wrong('size', args.size, 'auto, or a size such as 1280M or 2G');
  const headroom = parseHeadroom(args.headroom);
  if (headroom === undefined)
    return wrong(
      'headroom',
      args.headroom,
      `a percentage such as 10%, or a size such as 64M${headroomRemark(args.headroom)}`,
    );
  const { label = '' } = args;
  if (Buffer.byteLength(label) > 16 || /[{}/\s]|\p{Cc}/u.test(label))
    return wrong(
      'label',
      label,
      'at most 16 bytes, with no white space, slash, brace or control character',
    );
  const uuid = args.uuid === undefined ? derivedUuid('uuid', label) : parseUuid(args.uuid);
  if (uuid === undefined) return wrong('uuid', args.uuid, A_UUID);
  const seed = args['hash-seed'];
  const hashSeed = seed === undefined ? derivedUuid('hash seed', uuid) : parseUuid(seed);
  if (hashSeed === undefined) return wrong('hash-seed', seed, A_UUID);
  const owner = parseOwner(args.owner);
  if (owner === 'wrong') return wrong('owner', args.owner, 'UID:GID, both as numbers');
  const epoch = parseCount(args.epoch, LATEST);
  if (epoch === 'wrong') return wrong('epoch', args.epoch, 'seconds since 1970');
  const inodes = parseCount(args.inodes, LARGEST_INODES);
  if (inodes === 'wrong') return wrong('inodes', args.inodes, 'a number');
  const reserved = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(args.reserved)?.[1];
  if (reserved === undefined || Number(reserved) > 50)
    return wrong('reserved', args.reserved, 'a percentage from 0% to 50%');
  const journal = parseOptionalBytes(args.journal);
  if (journal === 'wrong') return wrong('journal', args.journal, 'a size such as 16M, or 0');
  const growTo = parseOptionalBytes(args['grow-to']);
  if (growTo === 'wrong') return wrong('grow-to', args['grow-to'], 'a size such as 32G');
  const newest = epoch ?? sourceDateEpoch;
  return ok({
    image: {
      ...(label === '' ? {} : { label }),
      ...{ uuid, hashSeed, epoch: newest ?? 0 },
      size: size === 'auto' ? size : size.bytes,
      headroom: 'percent' in headroom ? { ratio: headroom.percent / 100 } : headroom,
      features: args.features,
      blockSize: Number(args['block-size']) as 1024 | 2048 | 4096,
      inodeSize: Number(args['inode-size']) as 128 | 256 | 512 | 1024,
      ...(inodes === undefined ? {} : { inodes }),
      reserved: Number(reserved) / 100,
      ...(journal === undefined ? {} : { journal }),
      ...(growTo === undefined ? {} : { growTo }),
    },
    adjustments: {
      ...(owner === undefined ? {} : { owner }),
      ...(newest === undefined ? {} : { newest }),
    },
  });
}

const A_UUID = 'a UUID such as 5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab';

function wrong(option: string, value: string | undefined, expected: string): Result<never> {
  return fail({ reason: 'invalid-option', option: `--${option}`, value: value ?? '', expected });
}

function parseOwner(
  given: string | undefined,
): { readonly uid: number; readonly gid: number } | undefined | 'wrong' {
  if (given === undefined) return undefined;
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(given) ?? [];
  if (uid === undefined || Number(uid) > LARGEST_ID || Number(gid) > LARGEST_ID) return 'wrong';
  return { uid: Number(uid), gid: Number(gid) };
}

function parseCount(given: string | undefined, most: number): number | undefined | 'wrong' {
  if (given === undefined) return undefined;
  return /^\d{1,12}$/.test(given) && Number(given) <= most ? Number(given) : 'wrong';
}

function parseOptionalBytes(given: string | undefined): number | undefined | 'wrong' {
  return given === undefined ? undefined : (parseBytes(given) ?? 'wrong');
}
