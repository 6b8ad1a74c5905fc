import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** Whether `text` is an address with `user:password@` or `user@`: a secret that must not get into pins. */
export function hasCredentials(text: string): boolean {
  return /[a-z][a-z0-9+.-]*:\/\/[^/?#\s]*@/i.test(text);
}

/** `text` with what stands before the @ of an address hidden. */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, '$1***@');
}

/**
 * Where catalogs and files may come from: https, http (fetch allows it on loopback alone), or a file, by a path that
 * is absolute or begins at the bundle's directory.
 */
export function parseAddress(text: string): Result<string, { readonly detail: string }> {
  const shown = JSON.stringify(withoutCredentials(text));
  if (hasCredentials(text)) {
    return fail({
      detail: `${shown} holds a user or a password, which would get into the pins`,
    });
  }
  if (/\s/.test(text)) return fail({ detail: `${shown} has white space in it` });
  if (text === '') return fail({ detail: 'it is empty' });
  if (/^file:\/\//i.test(text)) {
    return URL.canParse(text) && new URL(text).host === ''
      ? ok(text)
      : fail({ detail: `${shown} is not a file's address; write file:///PATH` });
  }
  if (/^https?:\/\//i.test(text)) {
    return URL.canParse(text) ? ok(text) : fail({ detail: `${shown} is not a valid address` });
  }
  // A colon before any slash is a scheme, or the port of a host that lacks its scheme.
  if (/^[^/]*:/.test(text))
    return fail({
      detail: `${shown} is no address: https://, http:// (loopback only), file:/// or a path`,
    });
  return ok(text);
}

/** Whether an address is a path that begins at the directory of the bundle that names it. */
export function isRelativePath(address: string): boolean {
  return !address.startsWith('/') && !/^[a-z][a-z0-9+.-]*:/i.test(address);
}
