import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OuterEngine } from './engine.ts';

/** What a run must not leave behind: each list sorted, so that two states compare. */
export interface MachineState {
  readonly mounts: readonly string[];
  /** Such as `loop0 /tmp/stw-…/data.ext4`. */
  readonly loopDevices: readonly string[];
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  /** What lies in the stores' staging/ and beside the outputs. */
  readonly staging: readonly string[];
}

export interface Watched {
  readonly engine?: OuterEngine;
  readonly stores?: readonly string[];
  /** Directories whose entries are to be the same again: those of outputs. */
  readonly outputs?: readonly string[];
}

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
  return {
    mounts: mountPoints().sort(),
    loopDevices: loopDevices().sort(),
    containers: await lines(['ps', '-a', '--no-trunc', '--format', '{{.ID}} {{.Names}}']),
    volumes: await lines(['volume', 'ls', '-q']),
    staging: staging.sort(),
  };
}

/** Fails naming everything that is there now and was not before. */
export async function assertNothingLeft(
  before: MachineState,
  watched: Watched = {},
): Promise<void> {
  const now = await machineState(watched);
  const left = Object.fromEntries(
    (Object.keys(before) as (keyof MachineState)[])
      .map((kind) => [kind, now[kind].filter((item) => !before[kind].includes(item))] as const)
      .filter(([, items]) => items.length > 0),
  );
  assert.deepEqual(left, {}, `left behind: ${JSON.stringify(left, undefined, 2)}`);
}

/** Mount points at or below `dir`, parents first. */
export function mountsBelow(dir: string): string[] {
  return mountPoints().filter((point) => point === dir || point.startsWith(`${dir}/`));
}

/** From the kernel, in the order of mounting; its octal escapes undone. */
function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const point = line.split(' ')[4];
      if (point === undefined) return [];
      return [
        point.replace(/\\([0-7]{3})/g, (_, octal: string) =>
          String.fromCharCode(parseInt(octal, 8)),
        ),
      ];
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

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
