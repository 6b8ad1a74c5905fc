import type { CommandFailure } from '../tools/run-command.ts';
import { commandFailure } from '../tools/run-command.ts';
import { isLoopback } from '../tools/http.ts';
import type { HttpFailure, Proxies } from '../tools/http.ts';
import type { SkopeoAccess, SkopeoFailure, SkopeoRun } from '../tools/skopeo.ts';
import type { FailedSource, Failure, RegistryRefused } from '../model/failure.ts';
import type { Reference } from '../model/reference.ts';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { nameOf } from '../model/reference.ts';
import { registryOf, sourcesOf } from '../plan/fetch-sources.ts';
import { interruption } from '../model/file-failure.ts';
import type { FailureClass } from './classify.ts';
import { certificatesFor } from './certificates.ts';
import { classifySkopeo, classifyStatus, lastMessage, wrongCredentials } from './classify.ts';
import { redact } from './redact.ts';
import type { AttemptResult, Sleep } from './retry.ts';
import { retry, RETRY_DELAYS } from './retry.ts';

/** How registries and web servers are reached; pin and fetch take the same. */
export interface NetworkAccess {
  /** `HOST[:PORT][/PATH]`, tried first, in this order. */
  readonly mirrors?: readonly string[] | undefined;
  /** Nothing but the mirrors is asked; what is on this machine may be read. */
  readonly mirrorOnly?: boolean | undefined;
  /** Path of the registries' credentials; skopeo's own default without it. */
  readonly authfile?: string | undefined;
  /** Where skopeo looks without `authfile`, in its order: for messages. */
  readonly defaultAuthfiles?: readonly string[] | undefined;
  /** Certificates, a directory for each `HOST[:PORT]` in it: certificates.ts. */
  readonly certificates?: string | undefined;
  /** Directory of `registries.d` files; the user's or the machine's without it. */
  readonly registriesDirectory?: string | undefined;
  /** The engine behind `docker-daemon:`, as in DOCKER_HOST. */
  readonly dockerHost?: string | undefined;
  /** `HOST[:PORT]` of those besides loopback that may speak plain http or have unknown certificates. */
  readonly insecure?: readonly string[] | undefined;
  readonly proxies?: Proxies | undefined;
  /** Milliseconds between attempts: 5 s, 15 s, 45 s. */
  readonly retryDelays?: readonly number[] | undefined;
  /** Milliseconds without a byte that are a failure: a minute. */
  readonly stall?: number | undefined;
  readonly sleep?: Sleep | undefined;
}

/** Why one try of one source did not do; `detail` holds no secret. */
export type Fault =
  | { readonly kind: 'network'; readonly class: FailureClass; readonly detail: string }
  /** Nothing that another source or attempt could mend. */
  | { readonly kind: 'final'; readonly failure: Failure };

export const STALL = 60_000;

export function stallOf(access: NetworkAccess): number {
  return access.stall ?? STALL;
}

/** How skopeo is to reach the registry of `name`. */
export async function skopeoAccess(name: string, access: NetworkAccess): Promise<SkopeoAccess> {
  const { authfile, registriesDirectory } = access;
  const host = registryOf(name);
  const own = await certificatesFor(host, access.certificates);
  // Who gives certificates for this very host wants them checked, on loopback too.
  const insecure = own?.forHostAlone !== true && mayBeInsecure(host, access);
  return { insecure, authfile, registriesDirectory, certificates: own?.directory };
}

/** skopeo's own words get no further than `--debug`, and with secrets taken out. */
export function skopeoRun(access: NetworkAccess, context: Context): SkopeoRun {
  return {
    signal: context.signal,
    stall: stallOf(access),
    report: (event) => {
      context.report(event.type === 'tool-output' ? { ...event, line: redact(event.line) } : event);
    },
  };
}

/** Plain http and unknown certificates: for loopback, as Docker does, and for those named. */
export function mayBeInsecure(host: string, access: NetworkAccess): boolean {
  const bare = host.replace(/:\d+$/, '');
  return isLoopback(host) || (access.insecure ?? []).some((name) => name === host || name === bare);
}

/**
 * Runs `ask` against each source of an image until one answers: every mirror, then the image's own registry, and
 * all of them again after each delay. A mirror that fails is reported and passed over. An attempt counts as
 * refused only where every source refused; content of a wrong digest is temporary once for each source.
 */
export async function askSources<T>(
  what: string,
  reference: Reference,
  access: NetworkAccess,
  context: Context,
  ask: (name: string, skopeo: SkopeoAccess) => Promise<Result<T, Fault>>,
): Promise<Result<T>> {
  const sources = sourcesOf(reference, access.mirrors ?? [], access.mirrorOnly);
  const mismatched = new Set<string>();
  return retry(what, access.retryDelays ?? RETRY_DELAYS, context, attempt, access.sleep);

  async function attempt(): Promise<AttemptResult<T>> {
    let temporary: Told | undefined;
    let refused: AttemptResult<T> | undefined;
    const failures: FailedSource[] = [];
    for (const source of sources) {
      let told: Told | undefined;
      for (const name of source.names) {
        if (context.signal.aborted) return failed(interruption(context.signal));
        const answer = await ask(name, await skopeoAccess(name, access));
        if (answer.ok) return { outcome: 'done', value: answer.value };
        if (answer.failure.kind === 'final') return failed(answer.failure.failure);
        const now = judge(name, answer.failure.class, answer.failure.detail, mismatched);
        // Of a mirror's two names, "not found" under one says nothing.
        if (told === undefined || told.why === 'not-found') told = now;
      }
      if (told === undefined) continue;
      const { detail } = told;
      failures.push(
        source.mirror === undefined
          ? { kind: 'registry', name: registryOf(nameOf(reference)), detail }
          : { kind: 'mirror', name: source.mirror, detail },
      );
      if (source.mirror !== undefined)
        context.report({ type: 'mirror-failed', what, mirror: source.mirror, detail });
      if (told.why === undefined) temporary = told;
      else if (source.mirror === undefined || access.mirrorOnly === true)
        refused = failed({
          reason: 'registry-refused',
          what: `${what} (${nameOf(reference)})`,
          why: told.why,
          detail: `${told.detail}${triedCredentials(told.why, access)}`,
          ...(access.authfile === undefined ? {} : { authfile: access.authfile }),
        });
    }
    if (temporary !== undefined || refused === undefined)
      return {
        outcome: 'temporary',
        detail: temporary?.detail ?? 'no source answered',
        retryAfter: temporary?.retryAfter,
        ...(failures.some(({ kind }) => kind === 'mirror') ? { sources: failures } : {}),
      };
    return refused;
  }
}

interface Told {
  /** Absent for what may pass. */
  readonly why?: RegistryRefused['why'];
  readonly detail: string;
  /** Milliseconds that the source asked for. */
  readonly retryAfter?: number | undefined;
}

function judge(name: string, found: FailureClass, detail: string, mismatched: Set<string>): Told {
  switch (found.kind) {
    case 'temporary':
      return {
        detail: found.known
          ? detail
          : `${detail} (not a known failure, so taken for one that may pass)`,
        retryAfter: found.retryAfter,
      };
    case 'mismatch':
      if (mismatched.has(name)) return { why: 'wrong-content', detail };
      mismatched.add(name);
      return { detail };
    case 'refused':
      return { why: found.why, detail };
    case 'no-space':
    case 'configuration':
      return { detail };
  }
}

/** Which file was tried: a log-in that is in another one is the usual reason. */
function triedCredentials(why: RegistryRefused['why'], access: NetworkAccess): string {
  if (why !== 'unauthorized' && why !== 'denied') return '';
  if (access.authfile !== undefined)
    return `; the credentials tried are those in ${access.authfile}`;
  const files = access.defaultAuthfiles ?? [];
  return files.length === 0
    ? ''
    : `; no --authfile was given, so credentials were looked for in ${files.join(', then ')}`;
}

function failed(failure: Failure): { readonly outcome: 'failed'; readonly failure: Failure } {
  return { outcome: 'failed', failure };
}

/** A digest that is not the one asked for. */
export function mismatch(detail: string): Result<never, Fault> {
  return fail({ kind: 'network', class: { kind: 'mismatch' }, detail });
}

export function skopeoFault(failure: SkopeoFailure, context: Context): Fault {
  switch (failure.reason) {
    case 'stalled':
      return {
        kind: 'network',
        class: { kind: 'temporary', known: true },
        detail: `no byte arrived for ${failure.milliseconds / 1000} s`,
      };
    case 'command-aborted':
      return { kind: 'final', failure: interruption(context.signal) };
    case 'command-failed': {
      const found = classifySkopeo(failure.stderr);
      if (found.kind === 'configuration')
        return { kind: 'final', failure: misconfigured(failure.stderr) };
      return {
        kind: 'network',
        class: found,
        detail:
          failure.stderr.trim() === ''
            ? `skopeo ended by ${failure.signal ?? `exit code ${failure.exitCode ?? '?'}`}`
            : lastMessage(failure.stderr),
      };
    }
    case 'command-missing':
    case 'deadline-passed':
      return {
        kind: 'final',
        failure: commandFailure(failure satisfies CommandFailure, 'fetching'),
      };
  }
}

/** Whoever is asked, and however often: it stays wrong. */
export function misconfigured(stderr: string): Failure {
  const credentials = wrongCredentials(stderr);
  const failure = { reason: 'tool-failed', tool: 'skopeo', detail: lastMessage(stderr) } as const;
  return credentials === undefined
    ? { ...failure, doing: 'reading its configuration', problem: 'configuration' }
    : { ...failure, doing: 'reading credentials', problem: 'credentials', ...credentials };
}

export function httpFault(failure: HttpFailure, url: string, context: Context): Fault {
  switch (failure.reason) {
    case 'status':
      return {
        kind: 'network',
        class: classifyStatus(failure.status, failure.retryAfter),
        detail: `${redact(url)} answered ${failure.status}`,
      };
    case 'network':
      return {
        kind: 'network',
        class: { kind: 'temporary', known: true },
        detail: redact(`${url}: ${failure.detail}`),
      };
    case 'not-allowed':
      return {
        kind: 'network',
        class: { kind: 'refused', why: 'denied' },
        detail: redact(failure.detail),
      };
    case 'aborted':
      return { kind: 'final', failure: interruption(context.signal) };
  }
}

/** The same for what has no mirrors: a file by its URL. */
export async function askOnce<T>(
  what: string,
  access: NetworkAccess,
  context: Context,
  ask: () => Promise<Result<T, Fault>>,
): Promise<Result<T>> {
  const mismatched = new Set<string>();
  return retry(
    what,
    access.retryDelays ?? RETRY_DELAYS,
    context,
    async (): Promise<AttemptResult<T>> => {
      const answer = await ask();
      if (answer.ok) return { outcome: 'done', value: answer.value };
      if (answer.failure.kind === 'final') return failed(answer.failure.failure);
      const told = judge(what, answer.failure.class, answer.failure.detail, mismatched);
      if (told.why === undefined) return { outcome: 'temporary', by: 'address', ...told };
      return failed({
        reason: 'registry-refused',
        what,
        why: told.why,
        detail: told.detail,
        by: 'address',
      });
    },
    access.sleep,
  );
}

export function found<T>(value: T): Result<T, Fault> {
  return ok(value);
}
