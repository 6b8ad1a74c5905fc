import type { Reference } from './reference.ts';
import { parseReference } from './reference.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** Transports that skopeo has and this version of stowage does not (containers-transports(5)). */
const OTHER_TRANSPORTS = [
  'containers-storage',
  'docker-archive',
  'docker-daemon',
  'oci-archive',
  'oci',
  'dir',
  'ostree',
  'sif',
  'atomic',
  'tarball',
];

const DOCKER = 'docker://';

/** Reads `docker://NAME`, the one kind of source there is; templates are filled in already. */
export function parseSource(text: string): Result<Reference, { readonly detail: string }> {
  const detail = transportProblem(text);
  return detail === undefined ? parseReference(text.slice(DOCKER.length)) : fail({ detail });
}

/** Why `text` does not begin with a transport that works here; undefined where it does. */
export function transportProblem(text: string): string | undefined {
  if (text.startsWith(DOCKER)) return undefined;
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
  if (text.startsWith('docker:')) return `${shown} lacks the slashes; write docker://NAME`;
  const other = OTHER_TRANSPORTS.find((transport) => text.startsWith(`${transport}:`));
  if (other !== undefined) {
    return `${shown}: images from ${other}: are not supported by this version of stowage, only docker://`;
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    return `${shown} is not a registry's image; write docker://NAME`;
  return `${shown} has no transport; write docker://${text.length > 100 ? 'NAME' : text}`;
}

/** Whether `text` is an address with `user:password@` or `user@`: a secret that must not get into pins. */
export function hasCredentials(text: string): boolean {
  return /[a-z][a-z0-9+.-]*:\/\/[^/?#\s]*@/i.test(text);
}

/** `text` with what stands before the @ of an address hidden. */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, '$1***@');
}

/** Where catalogs and files may come from: https, http (fetch allows it on loopback alone), a file by its absolute path. */
export function parseAddress(text: string): Result<string, { readonly detail: string }> {
  const shown = JSON.stringify(withoutCredentials(text));
  if (hasCredentials(text)) {
    return fail({
      detail: `${shown} holds a user or a password, which would get into the pins`,
    });
  }
  if (/\s/.test(text)) return fail({ detail: `${shown} has white space in it` });
  if (text.startsWith('/')) return ok(text);
  if (/^file:\/\//i.test(text)) {
    return URL.canParse(text) && new URL(text).host === ''
      ? ok(text)
      : fail({ detail: `${shown} is not a file's address; write file:///PATH` });
  }
  if (/^https?:\/\//i.test(text)) {
    return URL.canParse(text) ? ok(text) : fail({ detail: `${shown} is not a valid address` });
  }
  return fail({
    detail: `${shown} is no address: https://, http:// (loopback only), file:/// or an absolute path`,
  });
}
