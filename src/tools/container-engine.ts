import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Rights } from './container-rights.ts';
import { rightsArguments } from './container-rights.ts';
import type { EngineChoice, FoundEngine } from './find-engine.ts';
import { engineFailure, findEngine } from './find-engine.ts';
import type { CommandFailure, CommandOptions, CommandOutput } from './run-command.ts';
import { lastLines, runCommand } from './run-command.ts';

/** Milliseconds for making a container, and for starting it: a quarter of a second each where nothing is wrong. */
const START_DEADLINE = 120_000;

/** Milliseconds for a question, and for work on a container. */
const ASK_DEADLINE = 60_000;
const WORK_DEADLINE = 300_000;
const LOAD_DEADLINE = 900_000;

/**
 * The builder's engine, Docker or Podman, by its command, so with the user's own context, DOCKER_HOST and
 * CONTAINER_HOST. Which one is found out when it is first needed.
 */
export class ContainerEngine {
  readonly #choice: EngineChoice;
  #found: Promise<Result<FoundEngine>> | undefined;

  constructor(choice: EngineChoice) {
    this.#choice = choice;
  }

  /** Engine-unreachable, engine-unsuitable or tool-missing where there is none that will do, within half a minute. */
  async found(signal?: AbortSignal): Promise<Result<FoundEngine>> {
    this.#found ??= findEngine(this.#choice, signal);
    const found = await this.#found;
    // Another time there may be one.
    if (!found.ok) this.#found = undefined;
    return found;
  }

  /** The full ID of an image, or undefined where the engine does not have it. */
  async imageId(name: string, signal?: AbortSignal): Promise<Result<string | undefined>> {
    const asked = await this.#run(
      ['image', 'inspect', '--format', '{{.Id}}', name],
      { signal, deadline: ASK_DEADLINE },
      'looking for an image',
      /no such image|image not known/i,
    );
    return asked.ok ? ok(asked.value?.stdout.trim()) : asked;
  }

  async loadImage(archive: Readable, signal?: AbortSignal): Promise<Result<void>> {
    const options = { input: archive, signal, deadline: LOAD_DEADLINE };
    const loaded = await this.#run(['load'], options, 'loading the dind image');
    return loaded.ok ? ok() : loaded;
  }

  /**
   * Makes a container with these rights and no network, and starts nothing in it; returns its ID. It takes no signal:
   * what was called off half-way might still come to be after its removal. An engine that lays a container's own files
   * over the image's waits for all that anybody has written to that file system, so this is done before much is.
   */
  async create(args: readonly string[], rights: Rights): Promise<Result<string>> {
    const found = await this.found();
    if (!found.ok) return found;
    const flags = rightsArguments(rights, found.value, await openFilesLimit());
    // A driver whose lines can be read again, whatever the engine's default is.
    const created = await this.#run(
      ['create', '--pull=never', '--log-driver=json-file', ...flags, ...args],
      { deadline: START_DEADLINE },
      'making a container',
    );
    return created.ok ? ok(created.value?.stdout.trim() ?? '') : created;
  }

  /** Starts one in the background; takes no signal either. */
  async start(id: string): Promise<Result<void>> {
    const started = await this.#run(
      ['start', id],
      { deadline: START_DEADLINE },
      'starting a container',
    );
    return started.ok ? ok() : started;
  }

  /** Undefined where there is no such container. */
  async state(id: string): Promise<Result<ContainerState | undefined>> {
    const asked = await this.#run(
      ['container', 'inspect', '--format', '{{.State.Running}} {{.State.ExitCode}}', id],
      { deadline: ASK_DEADLINE },
      'inspecting a container',
      GONE,
    );
    if (!asked.ok) return asked;
    if (asked.value === undefined) return ok(undefined);
    const [running, exitCode] = asked.value.stdout.trim().split(' ');
    return ok({ running: running === 'true', exitCode: Number(exitCode) });
  }

  /** The last `count` lines of what it printed, both streams. */
  async lastLog(id: string, count: number): Promise<readonly string[]> {
    const logs = await this.#run(
      ['logs', '--tail', `${count}`, id],
      { deadline: ASK_DEADLINE },
      'reading the last words of a container',
    );
    const text = logs.ok ? `${logs.value?.stdout}\n${logs.value?.stderr}` : '';
    const lines = lastLines(text, count);
    return lines === '' ? [] : lines.split('\n');
  }

  /** SIGTERM, and SIGKILL after `seconds`. */
  async stop(id: string, seconds: number): Promise<Result<void>> {
    const stopped = await this.#run(
      ['stop', '--time', `${seconds}`, id],
      { deadline: seconds * 1000 + WORK_DEADLINE },
      'stopping a container',
      GONE,
    );
    return stopped.ok ? ok() : stopped;
  }

  /** With its anonymous volumes; a container that is not there is success. */
  async remove(id: string): Promise<Result<void>> {
    const removed = await this.#run(
      ['rm', '--force', '--volumes', id],
      { deadline: WORK_DEADLINE },
      'removing a container',
      GONE,
    );
    return removed.ok ? ok() : removed;
  }

  /** Containers that carry a label, running or not. */
  async labelled(
    label: string,
    signal?: AbortSignal,
  ): Promise<Result<readonly LabelledContainer[]>> {
    const found = await this.found(signal);
    if (!found.ok) return found;
    // Podman's templates know labels in no way that all its versions share.
    const podman = found.value.client === 'podman';
    const format = podman ? 'json' : `{{.ID}} {{.Label ${JSON.stringify(label)}}}`;
    const listed = await this.#run(
      ['ps', '--all', '--no-trunc', '--filter', `label=${label}`, '--format', format],
      { signal, deadline: ASK_DEADLINE },
      'listing containers',
    );
    if (!listed.ok) return listed;
    const text = listed.value?.stdout ?? '';
    return ok(podman ? parsePodmanList(text, label) : parseDockerList(text));
  }

  /** What the command said; undefined where it failed because what it was about is not there. */
  async #run(
    args: readonly string[],
    options: CommandOptions,
    doing: string,
    gone?: RegExp,
  ): Promise<Result<CommandOutput | undefined>> {
    const found = await this.found(options.signal);
    if (!found.ok) return found;
    const { command, server } = found.value;
    const ended = await runCommand(command, args, options);
    if (ended.ok) return ended;
    if (gone !== undefined && isGone(ended.failure, gone)) return ok(undefined);
    return fail(engineFailure(ended.failure, server, doing));
  }
}

export interface ContainerState {
  readonly running: boolean;
  readonly exitCode: number;
}

export interface LabelledContainer {
  readonly id: string;
  readonly value: string;
}

const GONE = /no such (container|object)|no container with|already in progress/i;

function isGone(failure: CommandFailure, gone: RegExp): boolean {
  return failure.reason === 'command-failed' && gone.test(failure.stderr);
}

function parseDockerList(text: string): LabelledContainer[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const space = line.indexOf(' ');
      return { id: line.slice(0, space), value: line.slice(space + 1) };
    });
}

function parsePodmanList(text: string, label: string): LabelledContainer[] {
  const listed = JSON.parse(text.trim() === '' ? '[]' : text) as readonly {
    readonly Id: string;
    readonly Labels?: Readonly<Record<string, string>> | null;
  }[];
  return listed.map(({ Id, Labels }) => ({ id: Id, value: Labels?.[label] ?? '' }));
}

/** How many files a process of ours may open at the most: proc(5), /proc/pid/limits. */
async function openFilesLimit(): Promise<number | undefined> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const hard = /^Max open files +\d+ +(\d+)/m.exec(limits)?.[1];
  return hard === undefined ? undefined : Number(hard);
}
