import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Who made a lock, a claim or a work directory: enough to tell on the same host, for certain, whether that
 * process still lives. A pid alone is reused; its start time and the host's boot make it unique.
 */
export interface Owner {
  readonly host: string;
  /** /etc/machine-id, machine-id(5); empty where there is none, as in many containers. */
  readonly machine: string;
  /** /proc/sys/kernel/random/boot_id. */
  readonly boot: string;
  /** What `pid` counts in: /proc/self/ns/pid, pid_namespaces(7). A container on the same host has its own. */
  readonly namespace: string;
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/<pid>/stat, proc(5). */
  readonly start: string;
}

export function currentOwner(): Owner {
  return {
    host: hostname(),
    machine: machineId(),
    boot: bootId(),
    namespace: pidNamespace(),
    pid: process.pid,
    start: startTime(process.pid) ?? '',
  };
}

/** `dead` and `alive` are certain; of another host's or container's processes nothing can be known. */
export function ownerState(owner: Owner): 'alive' | 'dead' | 'elsewhere' {
  if (owner.boot !== bootId()) {
    // This host before it was started again, unless it is another one of the same name: names are often cloned.
    const here = owner.machine !== '' && owner.machine === machineId() && owner.host === hostname();
    return here ? 'dead' : 'elsewhere';
  }
  // One boot is one host, whatever it is called by now.
  if (owner.namespace !== pidNamespace()) return 'elsewhere';
  return startTime(owner.pid) === owner.start ? 'alive' : 'dead';
}

/** `pid 4711 on builder7`. */
export function describeOwner(owner: Owner): string {
  return `pid ${owner.pid} on ${owner.host}`;
}

export function formatOwner(owner: Owner): string {
  return JSON.stringify(owner);
}

/** Undefined for anything that is no owner record: a half-written one, somebody else's file. */
export function parseOwner(text: string): Owner | undefined {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof Owner, unknown>> | null;
    if (
      typeof value?.host === 'string' &&
      typeof value.machine === 'string' &&
      typeof value.boot === 'string' &&
      typeof value.namespace === 'string' &&
      typeof value.pid === 'number' &&
      typeof value.start === 'string'
    )
      return {
        host: value.host,
        machine: value.machine,
        boot: value.boot,
        namespace: value.namespace,
        pid: value.pid,
        start: value.start,
      };
  } catch {
    // Not JSON, so not ours.
  }
  return undefined;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    return '';
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may hold anything: the fields start after its last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie does nothing any more.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
