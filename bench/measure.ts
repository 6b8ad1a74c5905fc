import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Owner } from '../test/rig/owner.ts';
import { programOwner } from '../test/rig/owner.ts';
import { STOWAGE } from '../test/rig/stowage.ts';

/** What the benchmarks have in common: running programs by the clock, and telling what came of it. */

/** Does `bench` with the built program, and takes back what it leaves, whatever its end. */
export async function runBench(bench: (owner: Owner) => Promise<void>): Promise<void> {
  if (!existsSync(STOWAGE)) throw new Error('dist/stowage.mjs is missing: run `make build`');
  const owner = programOwner();
  try {
    await bench(owner);
  } finally {
    await owner.end();
  }
}

export interface Run {
  readonly seconds: number;
  /** Bytes: the process's own peak, without the programs that it runs. */
  readonly peak: number;
  /** What it said on standard error, and after how many seconds. */
  readonly lines: readonly { readonly after: number; readonly text: string }[];
}

export interface RunEnvironment {
  /** A home directory with nothing in it. */
  readonly home: string;
  /** DOCKER_HOST, where an engine is needed. */
  readonly engine?: string;
}

export function stowage(environment: RunEnvironment, ...args: readonly string[]): Promise<Run> {
  return program(environment, process.execPath, [STOWAGE, ...args]);
}

/** Throws where the program ends with anything but 0. */
export async function program(
  environment: RunEnvironment,
  file: string,
  args: readonly string[],
): Promise<Run> {
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  const child = spawn(file, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: environment.home,
      LC_ALL: 'C',
      ...(environment.engine === undefined ? {} : { DOCKER_HOST: environment.engine }),
    },
  });
  const lines: { after: number; text: string }[] = [];
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    const texts = (rest + chunk).split('\n');
    rest = texts.pop() ?? '';
    for (const text of texts) lines.push({ after: elapsed(), text });
  });
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid ?? 0));
  }, 20);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(watch);
  const seconds = elapsed();
  if (code !== 0)
    throw new Error(
      `${[file, ...args].join(' ')} ended with ${code}:\n${lines.map(({ text }) => text).join('\n')}\n${rest}`,
    );
  return { seconds, peak, lines };
}

/** proc(5): VmHWM, the peak resident set size, in kB. */
function peakOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** A bundle with the images at `from`; what every verb is told of it. */
export async function writeBundle(
  directory: string,
  name: string,
  images: readonly (readonly [string, string])[],
): Promise<{ readonly arguments: readonly string[] }> {
  const host = /docker:\/\/([^/]+)/.exec(images[0]?.[1] ?? '')?.[1] ?? '';
  const path = join(directory, `${name}.yaml`);
  const lines = [
    'stowage: 1',
    'partition: { label: bench, size: auto }',
    `engine: { version: "28.5.2", dind: "docker://${host}/library/docker:28.5.2-dind" }`,
    'images:',
    ...images.map(([image, from]) => `  ${image}: { from: "${from}" }`),
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  return { arguments: ['-b', path, '-p', join(directory, `${name}.json`)] };
}

export async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** Markdown; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const [head = [], ...body] = rows;
  return `${line(head)}|${'---|'.repeat(head.length)}\n${body.map(line).join('')}`;
}

/** Such as `2 × AMD EPYC, 25 GB memory, Linux 6.18, Node 20.20.2`. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}, ${megabytes(totalmem())} memory, Linux ${release()}, Node ${process.versions.node}`;
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
