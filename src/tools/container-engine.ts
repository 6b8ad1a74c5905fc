import type { Readable } from 'node:stream';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { CommandFailure } from './run-command.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/** Milliseconds for `run --detach`, which takes half a second where nothing is wrong. */
const START_DEADLINE = 120_000;

/** Milliseconds for a question, and for work on a container. */
const ASK_DEADLINE = 60_000;
const WORK_DEADLINE = 300_000;
const LOAD_DEADLINE = 900_000;

const TOOL = 'docker';

/** The builder's Docker engine, by its command, so with the user's own context and DOCKER_HOST. */
export class ContainerEngine {
  /** The server's version; engine-unreachable where no engine answers within half a minute. */
  async version(signal?: AbortSignal): Promise<Result<string>> {
    const asked = await runCommand(TOOL, ['version', '--format', '{{.Server.Version}}'], {
      signal,
      deadline: 30_000,
    });
    if (asked.ok) return ok(asked.value.stdout.trim());
    return fail(this.#failure(asked.failure, 'asking for its version'));
  }

  /** The full ID of an image, or undefined where the engine does not have it. */
  async imageId(name: string, signal?: AbortSignal): Promise<Result<string | undefined>> {
    const asked = await runCommand(TOOL, ['image', 'inspect', '--format', '{{.Id}}', name], {
      signal,
      deadline: ASK_DEADLINE,
    });
    if (asked.ok) return ok(asked.value.stdout.trim());
    if (
      asked.failure.reason === 'command-failed' &&
      /no such image|image not known/i.test(asked.failure.stderr)
    )
      return ok(undefined);
    return fail(this.#failure(asked.failure, 'looking for an image'));
  }

  async loadImage(archive: Readable, signal?: AbortSignal): Promise<Result<void>> {
    const loaded = await runCommand(TOOL, ['load'], {
      input: archive,
      signal,
      deadline: LOAD_DEADLINE,
    });
    return loaded.ok ? ok() : fail(this.#failure(loaded.failure, 'loading the dind image'));
  }

  /**
   * Starts a container in the background; returns its ID. It takes no signal: a container whose start was called
   * off half-way might still come to be after its removal.
   */
  async start(args: readonly string[]): Promise<Result<string>> {
    const options = { deadline: START_DEADLINE };
    const started = await runCommand(TOOL, ['run', '--detach', ...args], options);
    if (started.ok) return ok(started.value.stdout.trim());
    return fail(this.#failure(started.failure, 'starting a container'));
  }

  /** Undefined where there is no such container. */
  async state(id: string): Promise<Result<ContainerState | undefined>> {
    const asked = await runCommand(
      TOOL,
      ['container', 'inspect', '--format', '{{.State.Running}} {{.State.ExitCode}}', id],
      { deadline: ASK_DEADLINE },
    );
    if (!asked.ok) {
      if (isGone(asked.failure)) return ok(undefined);
      return fail(this.#failure(asked.failure, 'inspecting a container'));
    }
    const [running, exitCode] = asked.value.stdout.trim().split(' ');
    return ok({ running: running === 'true', exitCode: Number(exitCode) });
  }

  /** The last `count` lines of what it printed, both streams. */
  async lastLog(id: string, count: number): Promise<readonly string[]> {
    const logs = await runCommand(TOOL, ['logs', '--tail', `${count}`, id], {
      deadline: ASK_DEADLINE,
    });
    const text = logs.ok ? `${logs.value.stdout}\n${logs.value.stderr}` : '';
    const lines = lastLines(text, count);
    return lines === '' ? [] : lines.split('\n');
  }

  /** SIGTERM, and SIGKILL after `seconds`. */
  async stop(id: string, seconds: number): Promise<Result<void>> {
    const stopped = await runCommand(TOOL, ['stop', '--time', `${seconds}`, id], {
      deadline: seconds * 1000 + WORK_DEADLINE,
    });
    if (stopped.ok || isGone(stopped.failure)) return ok();
    return fail(this.#failure(stopped.failure, 'stopping a container'));
  }

  /** With its anonymous volumes; a container that is not there is success. */
  async remove(id: string): Promise<Result<void>> {
    const removed = await runCommand(TOOL, ['rm', '--force', '--volumes', id], {
      deadline: WORK_DEADLINE,
    });
    if (removed.ok || isGone(removed.failure)) return ok();
    return fail(this.#failure(removed.failure, 'removing a container'));
  }

  /** Containers that carry a label, running or not. */
  async labelled(
    label: string,
    signal?: AbortSignal,
  ): Promise<Result<readonly LabelledContainer[]>> {
    const listed = await runCommand(
      TOOL,
      [
        'ps',
        '--all',
        '--no-trunc',
        '--filter',
        `label=${label}`,
        '--format',
        `{{.ID}} {{.Label ${JSON.stringify(label)}}}`,
      ],
      { signal, deadline: ASK_DEADLINE },
    );
    if (!listed.ok) return fail(this.#failure(listed.failure, 'listing containers'));
    return ok(
      listed.value.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const space = line.indexOf(' ');
          return { id: line.slice(0, space), value: line.slice(space + 1) };
        }),
    );
  }

  #failure(failure: CommandFailure, doing: string): Failure {
    if (failure.reason === 'command-failed') {
      if (/no space left on device/i.test(failure.stderr))
        return { reason: 'no-space', where: `the storage of ${TOOL}` };
      if (
        /cannot connect|permission denied while trying to connect|is the docker daemon running|connection refused|error during connect|no such host/i.test(
          failure.stderr,
        )
      )
        return {
          reason: 'engine-unreachable',
          engine: TOOL,
          detail: lastLines(failure.stderr, 2),
        };
    }
    if (failure.reason === 'deadline-passed')
      return {
        reason: 'engine-unreachable',
        engine: TOOL,
        detail: `no answer within ${failure.milliseconds / 1000} s`,
      };
    return commandFailure(failure, doing);
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

function isGone(failure: CommandFailure): boolean {
  return (
    failure.reason === 'command-failed' &&
    /no such (container|object)|no container with|already in progress/i.test(failure.stderr)
  );
}
