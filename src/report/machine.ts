import { constants } from 'node:fs';
import { access, readFile, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { unreachable } from '../model/result.ts';
import { findProgram, runCommand } from '../tools/run-command.ts';

/** What doctor asks of the machine: another one in tests. */
export interface Machine {
  /** Such as `20.19.0`. */
  readonly nodeVersion: string;
  readonly isRoot: boolean;
  /** A name is looked for on PATH, a path is taken as it is. */
  findProgram(tool: string): string | undefined;
  run(
    tool: string,
    args: readonly string[],
    deadline: number,
    signal: AbortSignal,
  ): Promise<Answer>;
  exists(path: string): Promise<boolean>;
  isWritable(path: string): Promise<boolean>;
  readText(path: string): Promise<string | undefined>;
  /** What an ordinary user may still write, or undefined where nobody can tell. */
  freeBytes(path: string): Promise<number | undefined>;
  /** Whether the running kernel has a module of that name, built in or to be loaded. */
  hasModule(name: string): Promise<boolean>;
}

/** `exitCode` is undefined for a program that did not end by itself. */
export interface Answer {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export function localMachine(): Machine {
  return {
    nodeVersion: process.versions.node,
    isRoot: process.geteuid?.() === 0,
    findProgram,
    run: ask,
    exists: (path) => may(path, constants.F_OK),
    isWritable: (path) => may(path, constants.W_OK),
    readText,
    freeBytes: async (path) => {
      try {
        const { bavail, bsize } = await statfs(path);
        return bavail * bsize;
      } catch {
        return undefined;
      }
    },
    hasModule: async (name) => {
      const directory = `/lib/modules/${release()}`;
      const lists = await Promise.all(
        ['modules.dep', 'modules.builtin'].map((list) => readText(`${directory}/${list}`)),
      );
      return lists.some((list) => new RegExp(`/${name}\\.ko`).test(list ?? ''));
    },
  };
}

async function ask(
  tool: string,
  args: readonly string[],
  deadline: number,
  signal: AbortSignal,
): Promise<Answer> {
  const result = await runCommand(tool, args, { deadline, signal });
  if (result.ok) return { exitCode: 0, ...result.value };
  const failure = result.failure;
  switch (failure.reason) {
    case 'command-failed':
      return { exitCode: failure.exitCode, stdout: failure.stdout, stderr: failure.stderr };
    case 'deadline-passed':
      return {
        exitCode: undefined,
        stdout: '',
        stderr: `it did not answer within ${failure.milliseconds / 1000} s`,
      };
    case 'command-missing':
      return { exitCode: undefined, stdout: '', stderr: `${tool} is missing` };
    case 'command-aborted':
      return { exitCode: undefined, stdout: '', stderr: 'interrupted' };
    default:
      return unreachable(failure);
  }
}

async function may(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
