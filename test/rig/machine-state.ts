import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OuterEngine } from './engine.ts';
import { must, run } from './process.ts';
import { isOfRun, isOurs, PATHS_OF_RUN } from './run-tag.ts';

/** What a run must not leave behind: each list sorted, so that two states compare. */
export interface MachineState {
  /** `/tmp/stw-…/mnt`, with what is mounted there where a path of ours is there or is it. */
  readonly mounts: readonly string[];
  /** Such as `loop0 /tmp/stw-…/data.ext4`. */
  readonly loopDevices: readonly string[];
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  /** Programs whose arguments name one of the outputs, such as `4711 e2fsck -fy /tmp/stw-…/data.ext4`. */
  readonly processes: readonly string[];
  /** What lies in the stores' staging/ and beside the outputs. */
  readonly staging: readonly string[];
}

export interface Watched {
  readonly engine?: OuterEngine;
  readonly stores?: readonly string[];
  /** Directories whose entries are to be the same again: those of outputs. */
  readonly outputs?: readonly string[];
}

/** Of mounts and loop devices those of this process alone: the machine has other users, and the run has other files. */
export async function machineState(watched: Watched = {}): Promise<MachineState> {
  const lines = async (args: readonly string[]): Promise<string[]> => {
    if (watched.engine === undefined) return [];
    const text = await watched.engine.mustDocker(args);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .sort();
  };
  const staging = [
    ...(watched.stores ?? []).map((store) => join(store, 'staging')),
    ...(watched.outputs ?? []),
  ].flatMap((dir) => entries(dir).map((name) => join(dir, name)));
  const outputs = (watched.outputs ?? []).map((dir) => `${dir}/`);
  return {
    mounts: mounts().filter(isOurs).sort(),
    loopDevices: loopDevices().filter(isOurs).sort(),
    containers: await lines(['ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}']),
    volumes: await lines(['volume', 'ls', '-q']),
    networks: await lines(['network', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Name}}']),
    processes: processes((line) => outputs.some((dir) => line.includes(dir))),
    staging: staging.sort(),
  };
}

/** Fails naming everything that is there now and was not before. */
export async function assertNothingLeft(
  before: MachineState,
  watched: Watched = {},
): Promise<void> {
  const left = added(before, await machineState(watched));
  assert.deepEqual(left, {}, `left behind: ${JSON.stringify(left, undefined, 2)}`);
}

/** What the whole machine has, whoever made it, and what of this run lies in /tmp or still runs. */
export interface WholeMachine {
  readonly mounts: readonly string[];
  readonly loopDevices: readonly string[];
  /** Of the machine's own engine, where one answers: tests are to start their own. */
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly trees: readonly string[];
  readonly processes: readonly string[];
}

export async function wholeMachine(): Promise<WholeMachine> {
  const engine = await run('docker', ['version'], { deadline: 20_000 }).catch(() => undefined);
  const lines = async (args: readonly string[]): Promise<string[]> =>
    engine?.code === 0 ? (await must('docker', args)).split('\n').sort() : [];
  return {
    mounts: mounts().sort(),
    loopDevices: loopDevices().sort(),
    containers: await lines(['ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}']),
    volumes: await lines(['volume', 'ls', '-q']),
    networks: await lines(['network', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Name}}']),
    trees: entries('/tmp')
      .map((name) => join('/tmp', name))
      .filter((path) => path.startsWith(PATHS_OF_RUN)),
    processes: processes(isOfRun),
  };
}

/** What is there now and was not before, once what is just ending had `patience` milliseconds to end. */
export async function leftOnMachine(
  before: WholeMachine,
  patience = 10_000,
): Promise<readonly string[]> {
  const until = Date.now() + patience;
  for (;;) {
    const left = added(before, await wholeMachine());
    const lines = Object.entries(left).flatMap(([kind, items]) =>
      items.map((item) => `${kind}: ${item}`),
    );
    if (lines.length === 0 || Date.now() > until) return lines;
    await sleep(500);
  }
}

/** Mount points at or below `dir`, parents first. */
export function mountsBelow(dir: string): string[] {
  return mountTable()
    .map(({ point }) => point)
    .filter((point) => point === dir || point.startsWith(`${dir}/`));
}

function added<State extends object>(before: State, now: State): Record<string, string[]> {
  const kinds = Object.keys(before) as (keyof State & string)[];
  const listed = kinds.map((kind) => {
    const known = before[kind] as readonly string[];
    return [
      kind,
      (now[kind] as readonly string[]).filter((item) => !known.includes(item)),
    ] as const;
  });
  return Object.fromEntries(listed.filter(([, items]) => items.length > 0));
}

function mounts(): string[] {
  return mountTable().map(({ point, source }) => (source === '' ? point : `${point} (${source})`));
}

/** From the kernel, in the order of mounting; its octal escapes undone. */
function mountTable(): { readonly point: string; readonly source: string }[] {
  const plain = (field: string): string =>
    field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const fields = line.split(' ');
      const [, , , root, point] = fields;
      if (root === undefined || point === undefined) return [];
      // A bind mount's source is a directory on the file system; others name what they are made of.
      const what = root === '/' ? fields.at(-2) : root;
      return [{ point: plain(point), source: plain(what ?? '') }];
    });
}

/** From sysfs, which anybody may read, unlike the devices. */
function loopDevices(): string[] {
  return entries('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      try {
        return [`${name} ${readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim()}`];
      } catch {
        return [];
      }
    });
}

/** Programs whose command line is one of these, this very process left out. */
function processes(wanted: (line: string) => boolean): string[] {
  return entries('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
        return wanted(line) ? [`${pid} ${line}`] : [];
      } catch {
        return [];
      }
    })
    .sort();
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
