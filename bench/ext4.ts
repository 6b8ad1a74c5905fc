import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { programOwner } from '../test/rig/owner.ts';
import { must } from '../test/rig/process.ts';
import { STOWAGE } from '../test/rig/stowage.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';
import type { Run } from './measure.ts';
import { machine, median, megabytes, program, say, seconds, stowage, table } from './measure.ts';

/**
 * What `stowage mkfs` costs, against `mke2fs -d` and `cp` on the same machine, disk and data in one run:
 * docs/benchmarks.md. Ends with 1 where a promise is broken. `--quick` takes a tenth of the data and promises nothing.
 */
const QUICK = process.argv.includes('--quick');
const ROUNDS = QUICK ? 1 : 5;
const SCALE = QUICK ? 0.1 : 1;

const PROMISES = { ratio: 3, crowd: 0.1, throughput: 0.8, memory: 120_000_000, entry: 400 };

if (!existsSync(STOWAGE)) throw new Error('dist/stowage.mjs is missing: run `make build`');
const owner = programOwner();
const directory = temporaryTree(owner);
const environment = { home: directory };
const mke2fs = (await must('sh', ['-c', 'command -v mke2fs'])).trim();
const output = join(directory, 'out.ext4');
const promisesBroken: string[] = [];
const rows: string[][] = [];
try {
  await tree();
  await crowds();
  await largeFile();
} finally {
  await owner.end();
}
process.stdout.write(table([['', 'measured', 'promised'], ...rows]));
process.stdout.write(`\n${machine()}; median of ${ROUNDS} rounds, which alternate.\n`);
process.exitCode = promisesBroken.length > 0 && !QUICK ? 1 : 0;

/** A tree like an engine's store: what a few images unpack to, many small files, few large ones. */
async function tree(): Promise<void> {
  const files = Math.round(22_000 * SCALE);
  say(`a tree of ${files} files`);
  const root = join(directory, 'tree');
  const bytes = makeTree(root, files);
  const tar = join(directory, 'tree.tar');
  await must('tar', ['--sort=name', '-cf', tar, '-C', root, '.']);
  const size = `${Math.ceil((bytes * 1.4) / 1024 / 1024) + 64}M`;
  const measured = await alternate({
    mke2fs: () => program(environment, mke2fs, ['-q', '-t', 'ext4', '-d', root, output, size]),
    directory: () => mkfs(root, '--size', size),
    archive: () => mkfs(tar, '--size', size),
  });
  const name = `${files} files, ${megabytes(bytes)}`;
  const theirs = time(measured.mke2fs);
  row(`${name}: \`mke2fs -d\``, seconds(theirs));
  row('the same by `stowage mkfs DIR`', seconds(time(measured.directory)));
  faster(theirs / time(measured.directory));
  row('the same by `stowage mkfs TAR`', seconds(time(measured.archive)));
  faster(theirs / time(measured.archive));
  memory(`peak memory, ${name}, DIR`, measured.directory);
  memory(`peak memory, ${name}, TAR`, measured.archive);
  await rm(root, { recursive: true });
  await rm(tar);
}

function faster(ratio: number): void {
  row('times faster', ratio.toFixed(2), `≥ ${PROMISES.ratio}`, ratio >= PROMISES.ratio);
}

/** Many files in one directory. */
async function crowds(): Promise<void> {
  const counts = [10_000, 50_000, 100_000, 200_000].map((count) => count * SCALE);
  const [few = 0, some = 0, many = 0, most = 0] = counts;
  const roots = counts.map((count) => makeCrowd(count));
  const theirs: number[] = [];
  for (const [index, count] of [few, some].entries()) {
    say(`${count} files in one directory by mke2fs, once`);
    const args = ['-q', '-t', 'ext4', '-N', String(count * 2), '-d', roots[index] ?? ''];
    theirs.push((await program(environment, mke2fs, [...args, output, '1G'])).seconds);
    await rm(output);
    row(`${count} files in one directory: \`mke2fs -d\`, once`, seconds(theirs.at(-1) ?? 0));
  }
  say('the same by stowage');
  const [a = '', b = '', c = '', d = ''] = roots;
  const runs = await alternate({
    few: () => mkfs(a),
    some: () => mkfs(b),
    many: () => mkfs(c),
    most: () => mkfs(d),
  });
  for (const [count, list] of [
    [few, runs.few],
    [some, runs.some],
    [many, runs.many],
    [most, runs.most],
  ] as const)
    row(`${count} files by \`stowage mkfs\``, seconds(time(list)));
  const each = (time(runs.most) - time(runs.many)) / (most - many);
  const before = (time(runs.many) - time(runs.few)) / (many - few);
  const linear = each / before;
  row('time of a further file: beyond half, against before', linear.toFixed(2), '< 2', linear < 2);
  const part = time(runs.many) / (theirs[1] ?? NaN);
  const bar = PROMISES.crowd;
  row(`${many} files, part of mke2fs's time for ${some}`, part.toFixed(3), `< ${bar}`, part < bar);
  furtherFile(peakOf(runs.many) - peakOf(runs.few), few, many);
  furtherFile(peakOf(runs.most) - peakOf(runs.many), many, most);
  for (const root of roots) await rm(root, { recursive: true });
}

function furtherFile(bytes: number, from: number, to: number): void {
  const each = bytes / (to - from);
  row(
    `memory of a further file, from ${from} to ${to}`,
    `${Math.round(each)} bytes`,
    `< ${PROMISES.entry} bytes`,
    each < PROMISES.entry,
  );
}

/** One large file: what its content costs, and that it costs no memory. */
async function largeFile(): Promise<void> {
  const bytes = 2_000_000_000 * SCALE;
  say(`a file of ${megabytes(bytes)}`);
  const root = join(directory, 'large');
  mkdirSync(root);
  const file = join(root, 'file');
  await must('sh', ['-c', 'head -c "$1" /dev/urandom > "$0"; sync "$0"', file, String(bytes)]);
  const measured = await alternate({
    cp: () =>
      program(environment, 'sh', [
        ...['-c', 'cp --sparse=always "$0" "$1" && sync "$1"', file, output],
      ]),
    mkfs: () => mkfs(root, '--headroom', '0'),
  });
  const rate = (runs: readonly Run[]): number => bytes / time(runs);
  row(
    `\`cp --sparse=always\` and \`sync\` of ${megabytes(bytes)}`,
    `${megabytes(rate(measured.cp))}/s`,
  );
  row('`stowage mkfs` of the same', `${megabytes(rate(measured.mkfs))}/s`);
  const part = rate(measured.mkfs) / rate(measured.cp);
  row(
    'part of the throughput of cp',
    part.toFixed(2),
    `≥ ${PROMISES.throughput}`,
    part >= PROMISES.throughput,
  );
  memory(`peak memory, file of ${megabytes(bytes)}`, measured.mkfs);
}

function mkfs(input: string, ...options: readonly string[]): Promise<Run> {
  return stowage(environment, 'mkfs', input, '-o', output, ...options);
}

/** Each in turn, round after round, on a disk with nothing left to write; what it wrote is removed. */
async function alternate<K extends string>(
  runs: Readonly<Record<K, () => Promise<Run>>>,
): Promise<Record<K, Run[]>> {
  const names = Object.keys(runs) as K[];
  const measured = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    K,
    Run[]
  >;
  for (let round = 0; round < ROUNDS; round++)
    for (const name of names) {
      await must('sync', []);
      const run = await runs[name]();
      measured[name].push(run);
      say(`  ${name}: ${seconds(run.seconds)}, ${megabytes(run.peak)}`);
      await rm(output);
    }
  return measured;
}

function time(runs: readonly Run[]): number {
  return median(runs.map((run) => run.seconds));
}

function peakOf(runs: readonly Run[]): number {
  return median(runs.map((run) => run.peak));
}

function memory(what: string, runs: readonly Run[]): void {
  const peak = peakOf(runs);
  row(what, megabytes(peak), `< ${megabytes(PROMISES.memory)}`, peak < PROMISES.memory);
}

function row(what: string, measured: string, promised = '', isKept = true): void {
  rows.push([what, isKept ? measured : `**${measured}**`, promised]);
  if (!isKept) promisesBroken.push(what);
}

/**
 * The same in every run: sizes from nothing to a megabyte, half of them below 5 kB, in directories of 5 to some 700
 * names, as a Debian system with 130 packages has them; returns the bytes of all.
 */
function makeTree(root: string, files: number): number {
  const noise = Buffer.alloc(40_000_000);
  let state = 12_345;
  for (let at = 0; at < noise.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    noise.writeInt32LE(state, at);
  }
  let total = 0;
  let parent = root;
  let left = 0;
  for (let index = 0, directories = 0; index < files; index++) {
    if (left === 0) {
      directories += 1;
      const snapshot = join(root, 'snapshots', String(1 + (directories % 16)), 'fs');
      parent = join(snapshot, 'usr', `lib${directories % 7}`, `package-${directories}`);
      mkdirSync(parent, { recursive: true });
      left = Math.ceil(700 / directories ** 0.68);
    }
    left -= 1;
    const size = sizeOf(((index * 2_654_435_761) >>> 0) / 2 ** 32);
    const at = (index * 7919) % (noise.length - 1_000_000);
    writeFileSync(join(parent, `f${index}`), noise.subarray(at, at + size));
    total += size;
  }
  return total;
}

/** For a number from 0 to 1. */
function sizeOf(part: number): number {
  if (part < 0.6) return Math.floor(part * 9000);
  if (part < 0.98) return Math.floor(5400 + (part - 0.6) * 110_000);
  return Math.min(1_000_000, Math.floor(100_000 + (part - 0.98) * 54_000_000));
}

function makeCrowd(count: number): string {
  say(`making ${count} files in one directory`);
  const root = join(directory, `crowd-${count}`);
  mkdirSync(root);
  for (let index = 0; index < count; index++)
    writeFileSync(join(root, `file-with-a-name-${index}`), 'x');
  return root;
}
