import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { makeAhead } from './rig/make-ahead.ts';
import { leftOnMachine, wholeMachine } from './rig/machine-state.ts';
import { isOfRun, shareRunTag } from './rig/run-tag.ts';
import { sideBySide, type TestEvent } from './rig/side-by-side.ts';
import { inCi, mayBeAbsent } from './rig/skip.ts';
import { startsEngine } from './rig/starts-engine.ts';

/**
 * Runs every test, or the files and directories given as arguments, and ends with one summary of all. What the
 * machine has more of afterwards than before (mounts, loop devices, containers, volumes, networks; directories and
 * programs of ours) is a failure.
 * Node 20's own command knows no globs, no order, and one concurrency for all files.
 */
interface Suite {
  readonly files: readonly string[];
  readonly concurrency: number;
  /** Milliseconds for one file. */
  readonly timeout: number;
}

const TEST = fileURLToPath(new URL('.', import.meta.url));
const MINUTE = 60_000;
const SOAK = process.env['STOWAGE_SOAK'] === '1';
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;

/** They build from what is sound and boot it: engines beside them do not matter to them, nor they to those. */
const PEACEFUL = ['integration/engines.test.ts', 'integration/platforms.test.ts'];
/**
 * They make mount name spaces that last, the users' own of a rootless Podman among them: what is mounted beside them
 * could not be unmounted.
 */
const HOLDING = ['integration/build-faults-mount.test.ts', 'integration/outer-engines.test.ts'];

const wanted = process.argv.slice(2).map((argument) => relative(TEST, argument));
const totals = new Map<string, number>();
const refusedSkips: string[] = [];

const began = Date.now();
shareRunTag();
const before = await wholeMachine();
await pipeline(Readable.from(allEvents()), new spec(), new PassThrough(), process.stdout);

async function* allEvents(): AsyncGenerator {
  // Ready when the unit tests are.
  const ahead = wanted.length === 0 ? makeAhead() : undefined;
  for (const suite of suites()) {
    const timeout = suite.timeout * (SOAK ? 20 : 1);
    for await (const event of sideBySide(suite.files, { ...suite, timeout, kindsOf }, tellLong)) {
      if (!addToTotals(event)) yield event;
      noteSkip(event);
    }
  }
  await ahead;
  totals.set('duration_ms', Date.now() - began);
  for (const name of refusedSkips) yield diagnostic(`skipped, which CI does not accept: ${name}`);
  for (const [name, count] of totals) yield diagnostic(`${name} ${count}`);
  // In CI the machine is ours alone; elsewhere others come and go, and only what carries our names is our fault.
  const left = (await leftOnMachine(before)).filter((line) => inCi() || isOfRun(line));
  for (const line of left) yield diagnostic(`left behind, ${line}`);
  const failed = (totals.get('fail') ?? 0) + (totals.get('cancelled') ?? 0);
  const nothing = (totals.get('pass') ?? 0) === 0;
  if (nothing) yield diagnostic('no test ran at all');
  process.exitCode = failed > 0 || nothing || refusedSkips.length > 0 || left.length > 0 ? 1 : 0;
}

/** As many side by side as there are processors, but see `kindsOf`. */
function suites(): Suite[] {
  const beside = availableParallelism();
  const real = ['integration', 'conformance', 'buildroot'].flatMap((dir) => find(dir));
  return [
    { files: find('unit'), concurrency: beside, timeout: 5 * MINUTE },
    { files: find('.', false), concurrency: 1, timeout: 5 * MINUTE },
    { files: real, concurrency: Math.min(beside, 2), timeout: 15 * MINUTE },
    // bitbake takes all processors for itself.
    { files: find('yocto'), concurrency: 1, timeout: 15 * MINUTE },
  ];
}

/** One engine loads the machine enough, and Buildroot's make takes what is there. */
function kindsOf(file: string): string[] {
  if (file.startsWith(join(TEST, 'unit'))) return [];
  if (file.startsWith(join(TEST, 'buildroot'))) return ['buildroot', 'mounts'];
  const name = relative(TEST, file);
  if (PEACEFUL.includes(name)) return ['mounts'];
  if (HOLDING.includes(name)) return ['engine', 'mounts'];
  return startsEngine(file) ? ['engine'] : [];
}

/** So that what takes long is seen. */
function tellLong(file: string, milliseconds: number): TestEvent[] {
  const seconds = (milliseconds / 1000).toFixed();
  return milliseconds < 10_000 ? [] : [diagnostic(`${relative(TEST, file)}: ${seconds} s`)];
}

function find(dir: string, deep = true): string[] {
  if (!existsSync(join(TEST, dir))) return [];
  return readdirSync(join(TEST, dir), { recursive: deep, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((name) => name.endsWith('.test.ts'))
    .filter((name) => wanted.length === 0 || wanted.some((want) => isWithin(name, want)))
    .sort()
    .map((name) => join(TEST, name));
}

function isWithin(name: string, want: string): boolean {
  return name === want || name.startsWith(`${want.replace(/\/$/, '')}/`);
}

/** The summary lines of one suite's run are summed, and shown once at the end. */
function addToTotals(event: TestEvent): boolean {
  if (event.type !== 'test:diagnostic' || event.data.nesting !== 0) return false;
  const [, name, count] = SUMMARY.exec(event.data.message ?? '') ?? [];
  if (name === undefined) return false;
  totals.set(name, (totals.get(name) ?? 0) + Number(count));
  return true;
}

function noteSkip(event: TestEvent): void {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return;
  const { skip, name } = event.data;
  if (skip === undefined || skip === false || !inCi()) return;
  if (typeof skip === 'string' && mayBeAbsent(skip)) return;
  refusedSkips.push(`${name ?? ''}${typeof skip === 'string' ? ` (${skip})` : ''}`);
}

function diagnostic(message: string): TestEvent {
  return { type: 'test:diagnostic', data: { nesting: 0, message } };
}
