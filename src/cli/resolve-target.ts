import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Bundle } from '../model/bundle.ts';
import { parseCatalog } from '../model/catalog-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { catalogAddress, catalogLocation, evaluate } from '../plan/evaluate.ts';
import type { Wanted } from '../plan/wanted.ts';
import type { NetworkAccess } from '../fetch/access.ts';
import { loadText } from '../fetch/fetch-file.ts';
import type { PinOptions } from '../fetch/pin.ts';
import { pinTarget } from '../fetch/pin.ts';
import { errorCode } from '../model/file-failure.ts';
import type { Surroundings } from './command.ts';
import { parseCount, parseDelays } from './inputs.ts';
import type { PinnedTarget, TargetArguments } from './target.ts';
import { overrides, parseChoice } from './target.ts';

/** As in references, a host is known by its dot or port. */
const MIRROR =
  /^(?:https?:\/\/)?(?:localhost|\[[0-9a-fA-F:]+\](?::\d+)?|[\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w-]+:\d+)(?:\/[a-z0-9._-]+)*\/?$/;

/** The network options as parsed: options.ts. */
export interface NetworkArguments {
  readonly jobs: number;
  readonly mirror?: readonly string[] | undefined;
  readonly 'mirror-only': boolean;
  readonly authfile?: string | undefined;
  readonly 'cert-dir'?: string | undefined;
  readonly policy?: string | undefined;
  readonly 'registries-dir'?: string | undefined;
  readonly insecure?: readonly string[] | undefined;
  readonly 'retry-delays': string;
  readonly stall: number;
}

export function networkAccess(
  args: NetworkArguments,
  { proxies, authfiles, dockerHost, temporary }: Surroundings,
): Result<PinOptions & { readonly jobs: number }> {
  const retryDelays = parseDelays(args['retry-delays']);
  if (!retryDelays.ok) return retryDelays;
  const jobs = parseCount('--jobs', args.jobs);
  if (!jobs.ok) return jobs;
  const stall = parseCount('--stall', args.stall);
  if (!stall.ok) return stall;
  const mirrors = args.mirror ?? [];
  const wrongMirror = mirrors.find((mirror) => !MIRROR.test(mirror));
  if (wrongMirror !== undefined)
    return fail({
      reason: 'invalid-option',
      option: '--mirror',
      // Whoever puts a password there should not read it in a log.
      value: wrongMirror.replace(/^(\w+:\/\/)?[^@/]*@/, '$1…@'),
      expected: 'HOST[:PORT][/PATH], the host with a dot or a port: others mean docker.io',
    });
  for (const option of ['authfile', 'policy', 'cert-dir', 'registries-dir'] as const) {
    const value = args[option];
    if (value !== undefined && !existsSync(value))
      return fail({
        reason: 'invalid-option',
        option: `--${option}`,
        value,
        expected: option.endsWith('dir') ? 'a directory that is there' : 'a file that is there',
      });
  }
  if (args['mirror-only'] && mirrors.length === 0)
    return fail({
      reason: 'invalid-option',
      option: '--mirror-only',
      value: 'true',
      expected: 'a --mirror beside it',
    });
  const path = (given: string | undefined): string | undefined =>
    given === undefined ? undefined : resolve(given);
  return ok({
    mirrors,
    mirrorOnly: args['mirror-only'],
    authfile: path(args.authfile) ?? readableDefault(authfiles),
    defaultAuthfiles: authfiles,
    certificates: path(args['cert-dir']),
    policy: path(args.policy),
    registriesDirectory: path(args['registries-dir']),
    dockerHost,
    temporary,
    insecure: args.insecure ?? [],
    retryDelays: retryDelays.value,
    stall: stall.value * 1000,
    jobs: jobs.value,
    proxies: {
      http: proxies.http_proxy,
      https: proxies.https_proxy,
      none: (proxies.no_proxy ?? '').split(/[\s,]+/).filter((host) => host !== ''),
    },
  });
}

/**
 * skopeo gives up where it may not even look for its own default, as in a /run/containers that root has made for
 * himself: then the next one is named, whether it is there or not. Undefined leaves skopeo its default.
 */
function readableDefault(authfiles: readonly string[]): string | undefined {
  const [first, ...others] = authfiles;
  try {
    if (first !== undefined) statSync(first);
  } catch (error) {
    if (errorCode(error) === 'EACCES') return others[0];
  }
  return undefined;
}

/** Asks catalog, registries and web servers for what the bundle wants for this target. */
export async function resolveTarget(
  bundle: Bundle,
  args: TargetArguments,
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<PinnedTarget>> {
  const wanted = await evaluateNow(bundle, args, access, surroundings);
  if (!wanted.ok) return wanted;
  const pins = await pinTarget(wanted.value, access, surroundings);
  return pins.ok ? ok({ wanted: wanted.value, pins: pins.value }) : pins;
}

/** What the bundle wants of this target, by the catalog as it is now. */
export async function evaluateNow(
  bundle: Bundle,
  args: TargetArguments,
  access: NetworkAccess,
  surroundings: Surroundings,
): Promise<Result<Wanted>> {
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const { platform, machine, set } = choice.value;
  if (platform === undefined)
    return fail({
      reason: 'invalid-option',
      option: '--platform',
      value: '',
      expected: "the device's platform, such as linux/arm64",
    });
  const target = {
    platform,
    ...(machine === undefined ? {} : { machine }),
    set,
    ...overrides(args),
  };
  const address = catalogAddress(bundle, target);
  if (!address.ok) return address;
  if (address.value === undefined) return evaluate(bundle, target, undefined);
  surroundings.report({ type: 'resolving', what: address.value });
  const location = catalogLocation(bundle, address.value);
  const text = await loadText(location, access, surroundings);
  if (!text.ok) return text;
  const catalog = parseCatalog(text.value, address.value);
  if (!catalog.ok) return catalog;
  return evaluate(bundle, target, catalog.value);
}
