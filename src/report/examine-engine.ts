import type { Failure } from '../model/failure.ts';
import { fail, ok, unreachable } from '../model/result.ts';
import type { Ask, EngineChoice } from '../tools/find-engine.ts';
import { findEngine } from '../tools/find-engine.ts';
import { describeFailure } from './describe-failure.ts';
import type { Finding } from './doctor.ts';
import type { Machine } from './machine.ts';

const DEADLINE = 30_000;

/** As a build would find it, with the same words; docs/doctor.md. */
export async function examineEngine(
  machine: Machine,
  choice: EngineChoice,
  install: (tool: string) => string,
  signal: AbortSignal,
): Promise<Finding> {
  const what = 'container engine';
  const found = await findEngine(choice, signal, asking(machine));
  if (found.ok) return { what, ok: true, detail: `${found.value.command} ${found.value.version}` };
  const { failure } = found;
  const said =
    failure.reason === 'tool-missing'
      ? `${failure.tool} is missing`
      : describeFailure(failure).message;
  const detail = `${said}; --loader direct needs none`;
  const remedy = engineRemedy(failure, install);
  return { what, ok: false, detail, ...(remedy === undefined ? {} : { remedy }) };
}

function engineRemedy(failure: Failure, install: (tool: string) => string): string | undefined {
  // What it was named by need not be a package.
  if (failure.reason === 'tool-missing')
    return /^(?:docker|podman)$/.test(failure.tool) ? install(failure.tool) : undefined;
  if (failure.reason === 'engine-unreachable') {
    const docker = failure.engine === 'docker';
    if (failure.problem === 'permission')
      return docker ? 'sudo usermod -aG docker "$USER" && newgrp docker' : undefined;
    return `sudo systemctl start ${docker ? 'docker' : 'podman.socket'}`;
  }
  if (failure.reason !== 'engine-unsuitable') return undefined;
  const podman = failure.engine.includes('podman');
  const { problem } = failure;
  switch (problem) {
    case 'remote':
    case 'rootless':
      return podman
        ? 'sudo systemctl start podman.socket && export CONTAINER_HOST=unix:///run/podman/podman.sock'
        : 'export DOCKER_HOST=unix:///var/run/docker.sock';
    case 'desktop':
      return 'docker context use default';
    case 'too-old':
    case 'unknown':
    case 'elsewhere':
      return install(podman ? 'podman' : 'docker');
    default:
      return unreachable(problem);
  }
}

/** Doctor's machine, as the search for an engine asks it. */
function asking(machine: Machine): Ask {
  return async (tool, args, { deadline, signal }) => {
    if (machine.findProgram(tool) === undefined) return fail({ reason: 'command-missing', tool });
    const said = await machine.run(
      tool,
      args,
      deadline ?? DEADLINE,
      signal ?? new AbortController().signal,
    );
    if (said.exitCode === 0) return ok(said);
    return fail(
      said.exitCode === undefined
        ? { reason: 'deadline-passed', tool, milliseconds: deadline ?? DEADLINE }
        : { reason: 'command-failed', tool, args, ...said, exitCode: said.exitCode },
    );
  };
}
