import type { TreeNode } from './tree-node.ts';
import { displayName, isWhiteout } from './tree-node.ts';

/** One thing in which two files at the same path differ; `from` and `to` are for people. */
export interface NodeChange {
  readonly what:
    | 'type'
    | 'mode'
    | 'owner'
    | 'size'
    | 'content'
    | 'target'
    | 'device'
    | 'links'
    | 'xattr'
    | 'time';
  readonly from: string;
  readonly to: string;
}

export interface CompareOptions {
  /** Extended attributes that are none of the file's: those by which overlayfs keeps its own. */
  readonly ignoreXattr?: (name: string) => boolean;
  /** Modification times of directories too; those of files and links are compared unless `times` says no. */
  readonly directoryTimes?: boolean;
  /** Default: true. */
  readonly times?: boolean;
  /** The content of these is known to be the same. */
  readonly isSameContent?: (a: TreeNode, b: TreeNode) => boolean;
}

/** In a fixed order; none where they are alike. What is in directories is not looked at. */
export async function compareNodes(
  a: TreeNode,
  b: TreeNode,
  options: CompareOptions = {},
): Promise<NodeChange[]> {
  if (a.type !== b.type) return [{ what: 'type', from: a.type, to: b.type }];
  const changes: NodeChange[] = [];
  const compare = (what: NodeChange['what'], from: string, to: string): void => {
    if (from !== to) changes.push({ what, from, to });
  };
  // Linux gives links no mode of their own.
  if (a.type !== 'symlink') compare('mode', formatMode(a.mode), formatMode(b.mode));
  compare('owner', `${a.uid}:${a.gid}`, `${b.uid}:${b.gid}`);
  if (a.type === 'file') changes.push(...(await compareContent(a, b, options)));
  if (a.type === 'symlink')
    compare('target', displayName(await a.target()), displayName(await b.target()));
  compare('device', a.device ?? '', b.device ?? '');
  compare('links', `${a.links}`, `${b.links}`);
  changes.push(...(await compareXattrs(a, b, options)));
  if (a.mtime !== undefined && b.mtime !== undefined && hasTime(a, options))
    compare('time', formatTime(a.mtime), formatTime(b.mtime));
  return changes;
}

/** Whiteouts have the time at which they were made. */
function hasTime(
  node: TreeNode,
  { times = true, directoryTimes = false }: CompareOptions,
): boolean {
  if (!times || isWhiteout(node)) return false;
  return node.type !== 'directory' || directoryTimes;
}

async function compareContent(
  a: TreeNode,
  b: TreeNode,
  { isSameContent }: CompareOptions,
): Promise<NodeChange[]> {
  if (a.size !== b.size) return [{ what: 'size', from: `${a.size}`, to: `${b.size}` }];
  if (a.size === 0 || isSameContent?.(a, b) === true) return [];
  if (a.content !== undefined && b.content !== undefined) {
    const at = await firstDifference(a.content(), b.content());
    return at === undefined
      ? []
      : [{ what: 'content', from: `${a.size} bytes`, to: `others from byte ${at} on` }];
  }
  const [from, to] = [await a.digest(), await b.digest()];
  return from === to ? [] : [{ what: 'content', from: `sha256:${from}`, to: `sha256:${to}` }];
}

/** Where two sources of the same length differ first; holds a piece of each. */
export async function firstDifference(
  a: AsyncIterable<Uint8Array>,
  b: AsyncIterable<Uint8Array>,
): Promise<number | undefined> {
  const [left, right] = [a[Symbol.asyncIterator](), b[Symbol.asyncIterator]()];
  let [x, y]: [Uint8Array, Uint8Array] = [new Uint8Array(0), new Uint8Array(0)];
  let at = 0;
  try {
    for (;;) {
      if (x.length === 0) {
        const next = await left.next();
        if (next.done === true) return undefined;
        x = next.value;
      }
      if (y.length === 0) {
        const next = await right.next();
        if (next.done === true) return at;
        y = next.value;
      }
      const length = Math.min(x.length, y.length);
      const [p, q] = [x.subarray(0, length), y.subarray(0, length)];
      if (Buffer.compare(p, q) !== 0) return at + p.findIndex((byte, i) => byte !== q[i]);
      [x, y] = [x.subarray(length), y.subarray(length)];
      at += length;
    }
  } finally {
    await left.return?.();
    await right.return?.();
  }
}

async function compareXattrs(
  a: TreeNode,
  b: TreeNode,
  { ignoreXattr = () => false }: CompareOptions,
): Promise<NodeChange[]> {
  const [from, to] = [await a.xattrs(), await b.xattrs()];
  const changes: NodeChange[] = [];
  for (const name of [...new Set([...from.keys(), ...to.keys()])].sort()) {
    if (ignoreXattr(name)) continue;
    const [old, now] = [from.get(name), to.get(name)];
    if (old !== undefined && now !== undefined && Buffer.compare(old, now) === 0) continue;
    const key = displayName(name);
    changes.push({ what: 'xattr', from: formatXattr(key, old), to: formatXattr(key, now) });
  }
  return changes;
}

/** The longest value that is shown. */
const LONGEST = 32;

function formatXattr(name: string, value: Uint8Array | undefined): string {
  if (value === undefined) return `no ${name}`;
  const hex = Buffer.from(value.subarray(0, LONGEST)).toString('hex');
  return `${name}=0x${hex}${value.length > LONGEST ? '…' : ''}`;
}

export function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function formatTime({ seconds, nanoseconds }: { seconds: number; nanoseconds: number }): string {
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return `${whole}${nanoseconds === 0 ? '' : `.${`${nanoseconds}`.padStart(9, '0')}`}Z`;
}
