import assert from 'node:assert/strict';
import { join } from 'node:path';
import { must } from './process.ts';
import { rounds } from './skip.ts';

/** For `--import`: a clock that is decades off, for whoever looks at it. */
export const OTHER_CLOCK = `data:text/javascript,${encodeURIComponent(`
  const real = Date.now;
  const now = () => real() - 20 * 365 * 86400e3;
  globalThis.Date = class extends Date {
    constructor(...given) { given.length === 0 ? super(now()) : super(...given); }
    static now() { return now(); }
  };
`)}`;

/** Majors of Node with which bytes must be the same: fetched as packages, so in `make soak` alone. */
export const OTHER_NODES: readonly number[] = Array.from(
  { length: rounds(0, 3) },
  (_, i) => 20 + 2 * i,
);

/** Installs the newest Node of that major below `parent`; returns its program. */
export async function nodeOf(version: number, parent: string): Promise<string> {
  const place = join(parent, `node-${version}`);
  await must('npm', ['install', '--silent', '--no-save', '--prefix', place, `node@${version}`]);
  const node = join(place, 'node_modules', 'node', 'bin', 'node');
  assert.match(await must(node, ['--version']), new RegExp(`^v${version}\\.`));
  return node;
}
