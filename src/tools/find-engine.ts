import { basename } from 'node:path';
import type { EngineUnsuitable, Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { CommandFailure, CommandOptions, CommandOutput } from './run-command.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

export type EngineKind = 'docker' | 'podman';

/** What decides which engine on the builder runs the dind image. */
export interface EngineChoice {
  /** `docker`, `podman`, or the path of either; absent, what the environment points at, or else the first that answers. */
  readonly given?: string | undefined;
  /** DOCKER_HOST and CONTAINER_HOST. */
  readonly dockerHost?: string | undefined;
  readonly containerHost?: string | undefined;
  readonly isRoot: boolean;
}

/** An engine that answered and can do what a loader asks of it. */
export interface FoundEngine {
  /** Run for everything: a name on PATH, or a path. */
  readonly command: string;
  /** Which command line it understands. */
  readonly client: EngineKind;
  /** What answers: Docker's command may well speak to Podman. */
  readonly server: EngineKind;
  readonly version: string;
  /** Whether containers get user IDs of their own unless told otherwise. */
  readonly remapsUsers: boolean;
}

/** Runs a command to its end: `runCommand`, or a machine of a test's making. */
export type Ask = (
  tool: string,
  args: readonly string[],
  options: CommandOptions,
) => Promise<Result<CommandOutput, CommandFailure>>;

/** The first with everything that is asked for: `run --pull`, `--security-opt unmask` and their kin. */
const OLDEST: Readonly<Record<EngineKind, readonly [number, number]>> = {
  docker: [20, 10],
  podman: [3, 4],
};
/** Milliseconds. */
const DEADLINE = 30_000;

/**
 * The engine to use. Somebody who names one, or says where it is, gets that one or its failure; otherwise Docker
 * goes before Podman.
 */
export async function findEngine(
  choice: EngineChoice,
  signal?: AbortSignal,
  ask: Ask = runCommand,
): Promise<Result<FoundEngine>> {
  const named =
    choice.given ??
    (choice.dockerHost !== undefined
      ? 'docker'
      : choice.containerHost !== undefined
        ? 'podman'
        : undefined);
  if (named !== undefined) return probe(named, choice, signal, ask);
  const docker = await probe('docker', choice, signal, ask);
  if (docker.ok || docker.failure.reason === 'interrupted') return docker;
  const podman = await probe('podman', choice, signal, ask);
  // Whoever has both is told of the one that goes first.
  return podman.ok ||
    (docker.failure.reason === 'tool-missing' && podman.failure.reason !== 'tool-missing')
    ? podman
    : docker;
}

async function probe(
  command: string,
  choice: EngineChoice,
  signal: AbortSignal | undefined,
  ask: Ask,
): Promise<Result<FoundEngine>> {
  const options = { signal, deadline: DEADLINE };
  const [said, docker] = await Promise.all([
    ask(command, ['--version'], options),
    // Most likely, so at the same time.
    kindOf(command) === 'docker' ? probeDocker(command, options, ask) : undefined,
  ]);
  if (!said.ok) return fail(engineFailure(said.failure, kindOf(command), 'asking for its version'));
  // Fedora and others have a `docker` that is Podman.
  const [, client = '', version = ''] =
    /^(docker|podman)(?:-remote)? version (\S*)/i.exec(said.value.stdout) ?? [];
  if (/docker/i.test(client)) return docker ?? probeDocker(command, options, ask);
  if (/podman/i.test(client)) return probePodman(command, version, choice, options, ask);
  return fail(unsuitable(command, 'unknown', lastLines(said.value.stdout, 1)));
}

async function probeDocker(
  command: string,
  options: CommandOptions,
  ask: Ask,
): Promise<Result<FoundEngine>> {
  const [place, info, server] = await Promise.all([
    // DOCKER_HOST, DOCKER_CONTEXT and the configuration, as the command itself weighs them.
    ask(command, ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}'], options),
    ask(command, ['info', '--format', '{{json .}}'], options),
    ask(command, ['version', '--format', '{{json .Server}}'], options),
  ]);
  const host = place.ok ? place.value.stdout.trim() : '';
  if (isElsewhere(host)) return fail(unsuitable(command, 'remote', host));
  if (!info.ok) return fail(engineFailure(info.failure, 'docker', 'asking what it can do'));
  const facts = parse(info.value.stdout);
  const version = textOf(facts['ServerVersion']);
  if (version === '')
    // Older commands end with 0 and say it here.
    return fail({
      reason: 'engine-unreachable',
      engine: 'docker',
      ...problemOf(listOf(facts['ServerErrors']).join('\n') || info.value.stderr),
    });
  const security = listOf(facts['SecurityOptions']);
  const components = server.ok ? parse(server.value.stdout)['Components'] : undefined;
  const isPodman =
    Array.isArray(components) &&
    components.some((component: { Name?: unknown }) => component.Name === 'Podman Engine');
  return judge(
    {
      command,
      client: 'docker',
      server: isPodman ? 'podman' : 'docker',
      version,
      remapsUsers: security.some((option) => option.startsWith('name=userns')),
    },
    security.some((option) => option.startsWith('name=rootless')),
    textOf(facts['OperatingSystem']).startsWith('Docker Desktop'),
  );
}

/**
 * Without a service, who asks is what tells whether it is rootless: whatever Podman is asked but its version, it first
 * sets up storage, and for an ordinary user leaves a process behind.
 */
async function probePodman(
  command: string,
  version: string,
  choice: EngineChoice,
  options: CommandOptions,
  ask: Ask,
): Promise<Result<FoundEngine>> {
  if (choice.containerHost !== undefined && isElsewhere(choice.containerHost))
    return fail(unsuitable(command, 'remote', choice.containerHost));
  const engine = { command, client: 'podman', server: 'podman', remapsUsers: false } as const;
  if (choice.containerHost === undefined) {
    if (choice.isRoot) return judge({ ...engine, version }, false, false);
    // A path may be a script that calls sudo.
    if (!command.includes('/')) return fail(unsuitable('podman', 'rootless', ''));
  }
  const info = await ask(command, ['info', '--format', 'json'], options);
  if (!info.ok) return fail(engineFailure(info.failure, 'podman', 'asking what it can do'));
  const facts = parse(info.value.stdout) as {
    readonly host?: { readonly security?: { readonly rootless?: unknown } };
    readonly version?: { readonly Version?: unknown };
  };
  return judge(
    { ...engine, version: textOf(facts.version?.Version) },
    facts.host?.security?.rootless === true,
    false,
  );
}

function judge(engine: FoundEngine, rootless: boolean, desktop: boolean): Result<FoundEngine> {
  if (desktop) return fail(unsuitable(engine.command, 'desktop', ''));
  if (rootless)
    return fail({
      ...unsuitable(engine.command, 'rootless', ''),
      engine: engine.server,
    });
  const [major, minor] = OLDEST[engine.server];
  const found = /^(\d+)\.(\d+)/.exec(engine.version);
  const [, foundMajor, foundMinor] = (found ?? []).map(Number);
  if (
    foundMajor === undefined ||
    foundMinor === undefined ||
    foundMajor < major ||
    (foundMajor === major && foundMinor < minor)
  )
    return fail({
      ...unsuitable(engine.command, 'too-old', engine.version),
      oldest: `${major}.${String(minor).padStart(engine.server === 'docker' ? 2 : 1, '0')}`,
    });
  return ok(engine);
}

/** Bind mounts name directories of the engine's machine: only a socket in the file system is surely on this one. */
function isElsewhere(host: string): boolean {
  return host !== '' && !host.startsWith('unix://');
}

/** Docker's and Podman's words for a bind mount whose source is not there, or not mounted and shared: here it is. */
const MISSING =
  /bind source path does not exist: (.+)$|^Error: statfs (.+): no such file|path (.+) is mounted on .+ but it is not a shared or slave mount/m;

/** What a failed call was really about. */
export function engineFailure(failure: CommandFailure, engine: EngineKind, doing: string): Failure {
  if (failure.reason === 'command-failed') {
    if (/no space left on device/i.test(failure.stderr))
      return { reason: 'no-space', where: `the storage of ${engine}` };
    if (UNREACHABLE.test(failure.stderr))
      return { reason: 'engine-unreachable', engine, ...problemOf(failure.stderr) };
    const missing = MISSING.exec(failure.stderr)?.slice(1).find(Boolean);
    if (missing !== undefined) return unsuitable(engine, 'elsewhere', `it has no ${missing}`);
  }
  if (failure.reason === 'command-missing')
    return {
      reason: 'tool-missing',
      tool: failure.tool,
      package: engine === 'docker' ? 'docker.io' : 'podman',
    };
  if (failure.reason === 'deadline-passed')
    return {
      reason: 'engine-unreachable',
      engine,
      detail: `no answer within ${failure.milliseconds / 1000} s`,
    };
  return commandFailure(failure, doing);
}

const UNREACHABLE =
  /cannot connect to|permission denied while trying to connect|is the docker daemon running|connection refused|error during connect|no such host|unable to connect to podman|context not found|unable to parse docker host|unable to resolve docker endpoint/i;

function problemOf(said: string): { detail: string; problem?: 'permission' } {
  return {
    // Podman first proposes to start a virtual machine, which is for other systems.
    detail: lastLines(said.replace(/^Cannot connect to Podman\..*$/m, ''), 2),
    ...(/permission denied/i.test(said) ? { problem: 'permission' as const } : {}),
  };
}

export function unsuitable(
  engine: string,
  problem: EngineUnsuitable['problem'],
  detail: string,
): EngineUnsuitable {
  return { reason: 'engine-unsuitable', engine, problem, detail };
}

function kindOf(command: string): EngineKind {
  return basename(command).startsWith('podman') ? 'podman' : 'docker';
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
