import type { Digest } from './digest.ts';
import { parseDigest } from './digest.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/**
 * A name with a tag or digest at a registry, parsed once, with Docker's defaults filled in
 * (`alpine` is `docker.io/library/alpine`): github.com/distribution/reference.
 */
export interface Reference {
  /** `docker.io`, `127.0.0.1:5000`. */
  readonly registry: string;
  /** `library/alpine`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** Why a text is no reference, as a phrase with no full stop. */
export interface InvalidReference {
  readonly detail: string;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_NAMESPACE = 'library';
const DEFAULT_TAG = 'latest';
const LONGEST_REPOSITORY = 255;

const REGISTRY =
  /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const ID = /^[0-9a-f]{64}$/;

/**
 * Reads `[REGISTRY[:PORT]/]NAME[:TAG][@sha256:DIGEST]` by Docker's rules: a first component is a registry
 * where it has a dot or a colon or is `localhost`; without one it is docker.io, and a single name there
 * is in `library/`. A name that has neither tag nor digest has the tag `latest`.
 */
export function parseReference(text: string): Result<Reference, InvalidReference> {
  const invalid = (detail: string): Result<never, InvalidReference> => fail({ detail });
  if (text === '') return invalid('the reference is empty');
  if (text !== text.trim() || /\s/.test(text))
    return invalid(`${quote(text)} contains white space`);
  if (text.includes('://')) {
    return invalid(`${quote(text)} begins with a transport or scheme; a reference is a name alone`);
  }
  if (ID.test(text)) {
    return invalid(`${quote(text)} is an image ID or a bare digest, not a name`);
  }

  const at = text.indexOf('@');
  const beforeDigest = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  if (at >= 0 && digest === undefined) {
    return invalid(
      `${quote(text.slice(at + 1))} is not a digest: sha256: and 64 lower-case hexadecimal digits`,
    );
  }

  // A colon before the last slash belongs to the registry's port.
  const colon = beforeDigest.indexOf(':', beforeDigest.lastIndexOf('/') + 1);
  const name = colon < 0 ? beforeDigest : beforeDigest.slice(0, colon);
  const tag = colon < 0 ? undefined : beforeDigest.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) {
    return invalid(
      `${quote(tag)} is not a tag: at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'`,
    );
  }
  if (name === '') return invalid(`${quote(text)} has no name`);

  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const named = /[.:[]/.test(first) || first === 'localhost';
  const registry = !named || first === 'index.docker.io' ? DEFAULT_REGISTRY : first;
  if (!REGISTRY.test(registry)) return invalid(`${quote(registry)} is not a registry's host name`);
  const path = named ? name.slice(slash + 1) : name;
  const repository =
    registry === DEFAULT_REGISTRY && !path.includes('/') ? `${DEFAULT_NAMESPACE}/${path}` : path;

  const wrong = repository.split('/').find((component) => !COMPONENT.test(component));
  if (wrong !== undefined) return invalid(describeComponent(wrong, text));
  if (repository.length > LONGEST_REPOSITORY) {
    return invalid(`${quote(repository)} is longer than ${LONGEST_REPOSITORY} characters`);
  }
  const meant = tag ?? (digest === undefined ? DEFAULT_TAG : undefined);
  return ok({
    registry,
    repository,
    ...(meant === undefined ? {} : { tag: meant }),
    ...(digest === undefined ? {} : { digest }),
  });
}

/** What `parseReference` reads back: `docker.io/library/x:tag@sha256:…`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${nameOf(reference)}${tag}${digest}`;
}

/** `docker.io/library/x`: no tag, no digest. */
export function nameOf(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** `docker.io/library/x:tag`, no digest; undefined for a reference by digest alone, which names no tag. */
export function taggedName(reference: Reference): string | undefined {
  return reference.tag === undefined ? undefined : `${nameOf(reference)}:${reference.tag}`;
}

/** The same name and tag, fixed to a digest. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, digest };
}

function describeComponent(component: string, text: string): string {
  if (component === '') return `${quote(text)} has an empty name between slashes`;
  if (component !== component.toLowerCase()) {
    return `${quote(component)} has upper-case letters; names of images are lower case`;
  }
  return `${quote(component)} is not a name: lower-case letters and digits, with '.', '_', '__' or '-' between them`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
