import { dirname, resolve } from 'node:path';
import type { Context } from '../model/event.ts';
import type { EngineChoice } from '../tools/find-engine.ts';
import { rootCommands } from '../tools/mount.ts';
import { lastLines } from '../tools/run-command.ts';
import { examineEngine } from './examine-engine.ts';
import { formatBytes } from './describe-failure.ts';
import type { Machine } from './machine.ts';
import { localMachine } from './machine.ts';

/** What is going to be asked of this machine; only that is looked at. */
export interface MachineNeeds {
  /** Whether anything is to be pinned, fetched or published; true where absent. */
  readonly network?: boolean;
  /** The loader that is to build; absent where nothing is built. */
  readonly loader?: 'dind' | 'direct';
  /** Which engine of the machine runs the dind image; absent, what a build would take. */
  readonly engine?: EngineChoice;
  /** Whether a data image is to be verified; building verifies too. */
  readonly verify?: boolean;
  /** The data image to write, and the bytes it takes while it is made. */
  readonly output?: string;
  readonly neededBytes?: number;
  readonly store?: string;
}

export interface Finding {
  /** What was looked for: `skopeo`, `loop devices`. */
  readonly what: string;
  readonly ok: boolean;
  /** What was found, a phrase. */
  readonly detail: string;
  /** A command to paste that mends it; absent where it is ok or no command can. */
  readonly remedy?: string;
}

/** 20.19 is what the libraries ask for. */
const NODE = [20, 19] as const;
/** The first with --preserve-digests and its fixes: see docs/doctor.md. */
const SKOPEO = [1, 9] as const;
/** The first whose debugfs writes files below a directory and sets times as seconds. */
const E2FSPROGS = [1, 43] as const;
const E2FS_BUILD = ['mke2fs', 'e2fsck', 'resize2fs', 'debugfs'];
const E2FS_VERIFY = ['e2fsck'];
const DEADLINE = 30_000;

/** Looks and changes nothing, runs nothing as root. One finding for each thing needed, in a fixed order. */
export async function examineMachine(
  needs: MachineNeeds,
  context: Context,
  machine: Machine = localMachine(),
): Promise<Finding[]> {
  const findings: Finding[] = [checkNode(machine)];
  if (needs.network ?? true) findings.push(await checkSkopeo(machine, context));
  // The direct loader needs no program, and nothing of the kernel.
  const runsEngine = needs.loader === 'dind';
  if (runsEngine || needs.verify === true) {
    const tools = runsEngine ? E2FS_BUILD : E2FS_VERIFY;
    findings.push(await checkE2fsprogs(machine, tools, context));
  }
  if (runsEngine) {
    const choice = needs.engine ?? { isRoot: machine.isRoot };
    const install = (tool: string): string => installCommand(machine, tool);
    findings.push(await examineEngine(machine, choice, install, context.signal));
    findings.push(await checkLoopDevices(machine));
    findings.push(
      await checkFileSystem(machine, 'ext4'),
      await checkFileSystem(machine, 'overlay'),
    );
    findings.push(...(await checkRoot(machine, needs.output, context)));
  }
  if (needs.output !== undefined)
    findings.push(await checkPlace(machine, 'output', dirname(needs.output), needs.neededBytes));
  if (needs.store !== undefined)
    findings.push(await checkPlace(machine, 'store', needs.store, undefined));
  return findings;
}

function checkNode(machine: Machine): Finding {
  const what = 'Node.js';
  const detail = `version ${machine.nodeVersion}`;
  if (atLeast(readVersion(machine.nodeVersion), NODE)) return { what, ok: true, detail };
  return {
    what,
    ok: false,
    detail: `${detail}, needed is ${NODE.join('.')}`,
    remedy: installCommand(machine, 'nodejs'),
  };
}

async function checkSkopeo(machine: Machine, context: Context): Promise<Finding> {
  const what = 'skopeo';
  const absent = missingProgram(machine, 'skopeo');
  if (absent !== undefined) return { what, ok: false, ...absent };
  const said = await machine.run('skopeo', ['--version'], DEADLINE, context.signal);
  const version = readVersion(`${said.stdout}${said.stderr}`);
  return checkVersion(machine, what, 'skopeo', version, SKOPEO);
}

async function checkE2fsprogs(
  machine: Machine,
  tools: readonly string[],
  context: Context,
): Promise<Finding> {
  const what = 'e2fsprogs';
  for (const tool of tools) {
    const absent = missingProgram(machine, tool);
    if (absent !== undefined) return { what, ok: false, ...absent };
  }
  // The banner goes to standard error.
  const said = await machine.run('e2fsck', ['-V'], DEADLINE, context.signal);
  const version = readVersion(`${said.stderr}${said.stdout}`);
  return checkVersion(machine, what, 'e2fsck', version, E2FSPROGS);
}

async function checkLoopDevices(machine: Machine): Promise<Finding> {
  const what = 'loop devices';
  if (await machine.exists('/dev/loop-control'))
    return { what, ok: true, detail: '/dev/loop-control is there' };
  if (await machine.hasModule('loop'))
    return { what, ok: false, detail: 'the module is not loaded', remedy: 'sudo modprobe loop' };
  return {
    what,
    ok: false,
    detail:
      '/dev/loop-control is missing: in a container, start it with --device /dev/loop-control',
    remedy: 'sudo modprobe loop',
  };
}

/** mount loads the module of a file system by itself, so one that could be loaded will do. */
async function checkFileSystem(machine: Machine, name: 'ext4' | 'overlay'): Promise<Finding> {
  const what = `${name} file system`;
  const known = (await machine.readText('/proc/filesystems')) ?? '';
  if (known.split('\n').some((line) => line.split('\t').at(-1) === name))
    return { what, ok: true, detail: 'in the kernel' };
  if (await machine.hasModule(name)) return { what, ok: true, detail: 'a module of the kernel' };
  return {
    what,
    ok: false,
    detail: 'the kernel does not have it',
    remedy: `sudo modprobe ${name}`,
  };
}

/** Asks sudo whether it would: nothing is run. */
async function checkRoot(
  machine: Machine,
  output: string | undefined,
  context: Context,
): Promise<Finding[]> {
  if (machine.isRoot) return [{ what: 'root', ok: true, detail: 'this is root, sudo is not used' }];
  const absent = missingProgram(machine, 'sudo');
  if (absent !== undefined) return [{ what: 'sudo', ok: false, ...absent }];
  const findings: Finding[] = [];
  for (const { tool, name, args, rule } of rootCommands(resolve(dirname(output ?? 'data.ext4')))) {
    const what = `sudo ${name}`;
    const missing = missingProgram(machine, tool);
    if (missing !== undefined) {
      findings.push({ what, ok: false, ...missing });
      continue;
    }
    const path = machine.findProgram(tool) ?? tool;
    const asked = await machine.run('sudo', ['-n', '-l', path, ...args], DEADLINE, context.signal);
    findings.push(
      asked.exitCode === 0
        ? { what, ok: true, detail: 'allowed without a password' }
        : {
            what,
            ok: false,
            detail: `sudo would refuse it${asked.stderr === '' ? '' : `: ${lastLines(asked.stderr, 1)}`}`,
            remedy: `echo "$USER ALL=(root) NOPASSWD: /usr/bin/${tool} "'${rule}' | sudo tee -a /etc/sudoers.d/stowage && sudo chmod 0440 /etc/sudoers.d/stowage`,
          },
    );
  }
  return findings;
}

async function checkPlace(
  machine: Machine,
  place: 'output' | 'store',
  directory: string,
  neededBytes: number | undefined,
): Promise<Finding> {
  const what = `space for the ${place}`;
  const there = await nearest(machine, resolve(directory));
  const free = await machine.freeBytes(there);
  if (free === undefined)
    return { what, ok: false, detail: `${there} can't be looked at`, remedy: `ls -ld ${there}` };
  const detail = `${formatBytes(free)} are free in ${there}`;
  if (!(await machine.isWritable(there))) {
    // A store that has everything is only read.
    if (place === 'store')
      return { what, ok: true, detail: `${there} is read-only: only what is in it can be used` };
    return {
      what,
      ok: false,
      detail: `${there} can't be written`,
      remedy: `sudo chown "$USER" ${shellWord(there)}`,
    };
  }
  if (free === 0 || free < (neededBytes ?? 0))
    return {
      what,
      ok: false,
      detail:
        neededBytes === undefined ? detail : `${detail}, needed are ${formatBytes(neededBytes)}`,
      remedy: `du -xh --max-depth=1 ${shellWord(there)} | sort -h`,
    };
  return { what, ok: true, detail };
}

/** The directory itself, or the nearest one above it that is there. */
async function nearest(machine: Machine, directory: string): Promise<string> {
  let path = directory;
  while (!(await machine.exists(path)) && dirname(path) !== path) path = dirname(path);
  return path;
}

/** Debian keeps tools for root in /usr/sbin, which is not on everybody's PATH. */
function missingProgram(
  machine: Machine,
  tool: string,
): { readonly detail: string; readonly remedy: string } | undefined {
  if (machine.findProgram(tool) !== undefined) return undefined;
  return { detail: `${tool} is missing`, remedy: installCommand(machine, tool) };
}

const PACKAGES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'apt-get': { docker: 'docker.io', mount: 'mount', umount: 'mount' },
  dnf: { docker: 'moby-engine', mount: 'util-linux', umount: 'util-linux' },
  pacman: { docker: 'docker', mount: 'util-linux', umount: 'util-linux' },
};

function installCommand(machine: Machine, tool: string): string {
  const installer =
    Object.keys(PACKAGES).find((program) => machine.findProgram(program) !== undefined) ??
    'apt-get';
  const name = E2FS_BUILD.includes(tool) ? 'e2fsprogs' : (PACKAGES[installer]?.[tool] ?? tool);
  return installer === 'pacman'
    ? `sudo pacman -S --needed ${name}`
    : `sudo ${installer} install -y ${name}`;
}

type Version = readonly [number, number];

function checkVersion(
  machine: Machine,
  what: string,
  tool: string,
  version: Version | undefined,
  needed: Version,
): Finding {
  const detail = version === undefined ? 'no version' : `version ${version.join('.')}`;
  if (atLeast(version, needed)) return { what, ok: true, detail };
  return {
    what,
    ok: false,
    detail: `${detail}, needed is ${needed.join('.')}`,
    remedy: installCommand(machine, tool),
  };
}

/** The first two numbers with a dot between them. */
function readVersion(text: string): Version | undefined {
  const found = /(\d+)\.(\d+)/.exec(text);
  return found === null ? undefined : [Number(found[1]), Number(found[2])];
}

function atLeast(version: Version | undefined, needed: Version): boolean {
  if (version === undefined) return false;
  return version[0] > needed[0] || (version[0] === needed[0] && version[1] >= needed[1]);
}

function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
