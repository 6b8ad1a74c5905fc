import type { FoundEngine } from './find-engine.ts';

/** What a container may do beyond running as root with no network. */
export interface Rights {
  /** Names as capabilities(7) has them, without `CAP_`; all others are dropped. */
  readonly capabilities: readonly string[];
  /** Every right that there is instead, for hosts whose engine allows no less. */
  readonly privileged: boolean;
}

/**
 * The flags that give a container these rights and no more: the engine's own seccomp profile stays (it lets whoever
 * has SYS_ADMIN mount), as do its masked paths; no program in it gets rights that the first did not have; its root
 * is read-only, so all that it writes goes to its mounts. `openFiles` is this process's own hard limit.
 */
export function rightsArguments(
  rights: Rights,
  engine: FoundEngine,
  openFiles: number | undefined,
): string[] {
  return [
    ...(rights.privileged
      ? ['--privileged']
      : [
          '--cap-drop=ALL',
          ...rights.capabilities.map((name) => `--cap-add=${name}`),
          '--security-opt=no-new-privileges',
          // Docker's profile denies every mount, and an own one could be loaded by root alone.
          '--security-opt=apparmor=unconfined',
          // SELinux would deny the bind mounts, whose labels are the builder's.
          '--security-opt=label=disable',
        ]),
    '--read-only',
    '--network=none',
    // The user IDs in the layers are the device's: a store with shifted ones would be wrong.
    ...(engine.remapsUsers ? ['--userns=host'] : []),
    // Podman asks for limits that only a process with CAP_SYS_RESOURCE can raise; those of ours will do.
    ...(engine.server === 'podman'
      ? [`--ulimit=nofile=1024:${openFiles ?? 1024}`, '--ulimit=nproc=1000:1000']
      : []),
  ];
}
