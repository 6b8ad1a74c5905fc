import type { EngineUnreachable, EngineUnsuitable } from '../model/failure.ts';
import { unreachable } from '../model/result.ts';

/** What to do about the builder's engine. docs/security.md tells which engines will do. */

/** Where each engine that runs as root listens. */
const SOCKETS = {
  docker: 'DOCKER_HOST=unix:///var/run/docker.sock',
  podman: 'CONTAINER_HOST=unix:///run/podman/podman.sock',
} as const;

export function describeWayIn(
  engine: EngineUnreachable['engine'],
  problem: EngineUnreachable['problem'],
): string {
  if (problem === 'permission')
    return engine === 'docker'
      ? 'join the group that its socket belongs to (sudo usermod -aG docker "$USER") and log in again'
      : 'let a group of yours use its socket: docs/security.md tells how';
  return engine === 'docker'
    ? 'start it (sudo systemctl start docker), or give DOCKER_HOST; `stowage doctor` tells more, and --loader direct needs none'
    : 'start it (sudo systemctl start podman.socket), or give CONTAINER_HOST; `stowage doctor` tells more, and --loader direct needs none';
}

export function describeUnsuitable({ engine, problem, detail, oldest }: EngineUnsuitable): {
  readonly message: string;
  readonly hint: string;
} {
  const socket = engine.includes('podman') ? SOCKETS.podman : SOCKETS.docker;
  switch (problem) {
    case 'remote':
      return {
        message: `the engine that ${engine} speaks to is not on this machine (${detail}), and can't see the directories here`,
        hint: `give one on a socket of this machine: ${socket}`,
      };
    case 'rootless':
      return {
        message: `the ${engine} engine runs rootless, and may not write into a mounted data image as root does`,
        hint: `use one that runs as root: ${socket}; docs/security.md tells how`,
      };
    case 'desktop':
      return {
        message:
          'Docker Desktop runs its engine in a virtual machine, which does not see what is mounted here',
        hint: 'install Docker Engine, or Podman, and choose it: `docker context use default`, or --engine podman',
      };
    case 'too-old':
      return {
        message: `the engine of ${engine} is ${detail === '' ? 'of no version that can be read' : `version ${detail}`}; needed is ${oldest ?? 'a newer one'}`,
        hint: 'update it, or choose another with --engine',
      };
    case 'unknown':
      return {
        message: `${engine} is neither Docker nor Podman; as its version it says: ${detail}`,
        hint: 'give --engine docker, --engine podman, or the path of either',
      };
    case 'elsewhere':
      return {
        message: `the ${engine} engine does not see this build's directories: ${detail}`,
        hint: 'in a container, have the output in a directory that the engine sees under the same path, mounted with bind-propagation=rshared; or run an engine beside stowage',
      };
    default:
      return unreachable(problem);
  }
}
