import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from '../store/content.ts';
import { errorCode } from '../model/file-failure.ts';

/** Accepts everything: what was pinned by digest needs no signature to be what was pinned. */
const OURS = '{"default":[{"type":"insecureAcceptAnything"}]}\n';

/** The trust policy skopeo shall use: a path to give it, and whose it is. */
export interface Policy {
  readonly path: string;
  readonly ours: boolean;
}

/**
 * The policy given, else the user's or the system's (containers-policy.json(5)), else ours, written into `directory`.
 * One that is there and can't be read is chosen all the same: skopeo then accepts nothing.
 */
export async function choosePolicy(
  given: string | undefined,
  directory: string,
  theirs: readonly string[] = [
    join(homedir(), '.config/containers/policy.json'),
    '/etc/containers/policy.json',
  ],
): Promise<Policy> {
  for (const path of given === undefined ? theirs : [])
    if (await exists(path)) return { path, ours: false };
  if (given !== undefined) return { path: given, ours: false };
  const path = join(directory, 'policy.json');
  await replaceFile(path, OURS, false);
  return { path, ours: true };
}

/**
 * The policy for what a mirror serves in the place of `upstream`, both `HOST/PATH` with no tag: skopeo judges by the
 * name it is given, so that a mirror would evade what the policy asks of the image's own registry. Where the policy does
 * not speak of the mirror itself, the image's own requirements are put in, with its own name as the one to be signed.
 * Written into `directory`. A policy that can't be understood is left to skopeo, which refuses it.
 */
export async function policyForMirror(
  policy: Policy,
  upstream: string,
  mirror: string,
  directory: string,
): Promise<Policy> {
  if (policy.ours || upstream === mirror) return policy;
  let document: unknown;
  try {
    document = JSON.parse(await readFile(policy.path, 'utf8'));
  } catch {
    return policy;
  }
  const changed = withMirror(document, upstream, mirror);
  if (changed === undefined) return policy;
  const path = join(directory, 'mirror-policy.json');
  await replaceFile(path, `${JSON.stringify(changed)}\n`, false);
  return { path, ours: false };
}

type Json = Readonly<Record<string, unknown>>;

/** The policy with the mirror's requirements in it; undefined where it stays as it is. */
export function withMirror(policy: unknown, upstream: string, mirror: string): unknown {
  if (!isObject(policy)) return undefined;
  const transports = isObject(policy['transports']) ? policy['transports'] : {};
  const docker = isObject(transports['docker']) ? transports['docker'] : {};
  if (scopesOf(mirror).some((scope) => Object.hasOwn(docker, scope))) return undefined;
  const scope = [...scopesOf(upstream), ''].find((name) => Object.hasOwn(docker, name));
  const requirements = scope === undefined ? policy['default'] : docker[scope];
  if (!Array.isArray(requirements)) return undefined;
  const own = requirements.map((requirement: unknown) => signedAs(requirement, upstream, mirror));
  return { ...policy, transports: { ...transports, docker: { ...docker, [mirror]: own } } };
}

/** From the repository up to its host, then `*.` and each domain above: the order of containers-policy.json(5). */
export function scopesOf(name: string): readonly string[] {
  const scopes: string[] = [];
  for (let rest = name; rest !== ''; rest = rest.slice(0, Math.max(0, rest.lastIndexOf('/'))))
    scopes.push(rest);
  const host = (name.split('/')[0] ?? '').replace(/:\d+$/, '');
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1))
    scopes.push(`*${host.slice(dot)}`);
  return scopes;
}

/** What was signed is the image under its own name, whatever the mirror calls it. */
function signedAs(requirement: unknown, upstream: string, mirror: string): unknown {
  if (!isObject(requirement)) return requirement;
  if (requirement['type'] !== 'signedBy' && requirement['type'] !== 'sigstoreSigned')
    return requirement;
  const identity = requirement['signedIdentity'];
  const type = isObject(identity) ? identity['type'] : undefined;
  // An identity that the policy names itself holds for a mirror too.
  if (identity !== undefined && type !== 'matchRepoDigestOrExact' && type !== 'matchRepository')
    return requirement;
  return {
    ...requirement,
    signedIdentity: { type: 'remapIdentity', prefix: mirror, signedPrefix: upstream },
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function exists(path: string): Promise<boolean> {
  try {
    await readFile(path);
    return true;
  } catch (error) {
    const code = errorCode(error);
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}
