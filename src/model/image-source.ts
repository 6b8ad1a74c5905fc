import { withoutCredentials } from './bundle-source.ts';
import type { Reference } from './reference.ts';
import { parseReference } from './reference.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/** Where images are read from besides registries: containers-transports(5). */
export type LocalTransport =
  'containers-storage' | 'docker-archive' | 'docker-daemon' | 'oci-archive' | 'oci' | 'dir';

/** An image on this machine: in a file, a directory, an engine or a container storage. */
export interface LocalSource {
  readonly transport: LocalTransport;
  /** As the bundle has it and pins record it: `oci-archive:images/web.tar:web:1`. */
  readonly text: string;
  /** File or directory; of a container storage its root. Absent for docker-daemon and the user's own storage. */
  readonly path?: string;
  /** Which image of several: a name in an archive or layout, a reference or ID in an engine or storage. */
  readonly name?: string;
  /** Of a container storage: `overlay`, `vfs`. */
  readonly driver?: string;
  /** Of a container storage: where it keeps its locks and mounts. */
  readonly runRoot?: string;
}

/** A place that an image comes from, no templates left. */
export type ImageSource =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'local'; readonly local: LocalSource };

/** A container storage that is not the user's own. */
export interface StorageLocation {
  readonly root: string;
  readonly driver?: string | undefined;
  readonly runRoot?: string | undefined;
}

type Parsed<T> = Result<T, { readonly detail: string }>;

const DOCKER = 'docker://';
const LOCAL: readonly LocalTransport[] = [
  'containers-storage',
  'docker-archive',
  'docker-daemon',
  'oci-archive',
  'oci',
  'dir',
];

/** Transports that skopeo has and stowage does not. */
const OTHER_TRANSPORTS = ['ostree', 'sif', 'atomic', 'tarball'];

/** Their manifests are those that somebody made; the others' are made up by whoever reads them. */
export function keepsManifests(transport: LocalTransport): boolean {
  switch (transport) {
    case 'oci':
    case 'oci-archive':
    case 'dir':
      return true;
    case 'docker-archive':
    case 'docker-daemon':
    case 'containers-storage':
      return false;
  }
}

/** Reads `docker://NAME` or `TRANSPORT:…`; templates are filled in already. */
export function parseSource(text: string, storage?: StorageLocation): Parsed<ImageSource> {
  const detail = transportProblem(text);
  if (detail !== undefined) return fail({ detail });
  const transport = LOCAL.find((name) => text.startsWith(`${name}:`));
  if (storage !== undefined && transport !== 'containers-storage')
    return fail({ detail: `${quote(text)} is in no container storage; take storage out` });
  if (transport === undefined) {
    const reference = parseReference(text.slice(DOCKER.length));
    return reference.ok ? ok({ kind: 'registry', reference: reference.value }) : reference;
  }
  const local = parseLocal(transport, text, text.slice(transport.length + 1), storage);
  return local.ok ? ok({ kind: 'local', local: local.value }) : local;
}

/** Why `text` does not begin with a transport that works here; undefined where it does. */
export function transportProblem(text: string): string | undefined {
  // An @ before a digest has no slash behind it.
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/\s]*@[^/\s]*\//i.test(text))
    return `${quote(withoutCredentials(text))} holds a user or a password, which would get into the pins; give --authfile`;
  if (text.startsWith(DOCKER)) return undefined;
  if (LOCAL.some((transport) => text.startsWith(`${transport}:`))) return undefined;
  const shown = quote(text);
  if (text.startsWith('docker:')) return `${shown} lacks the slashes; write docker://NAME`;
  const other = OTHER_TRANSPORTS.find((transport) => text.startsWith(`${transport}:`));
  if (other !== undefined)
    return `${shown}: images from ${other}: are not supported; there are docker://, ${LOCAL.map((name) => `${name}:`).join(', ')}`;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    return `${shown} is not a registry's image; write docker://NAME`;
  return `${shown} has no transport; write docker://${text.length > 100 ? 'NAME' : text}`;
}

function parseLocal(
  transport: LocalTransport,
  text: string,
  rest: string,
  storage: StorageLocation | undefined,
): Parsed<LocalSource> {
  if (/[\s\0]/.test(rest)) return fail({ detail: `${quote(text)} has white space in it` });
  switch (transport) {
    case 'dir':
      return rest === '' ? lacksPath(text) : ok({ transport, text, path: rest });
    case 'oci':
    case 'oci-archive':
    case 'docker-archive': {
      // skopeo takes the first colon: what is behind it is the name, which has colons of its own.
      const colon = rest.indexOf(':');
      const path = colon < 0 ? rest : rest.slice(0, colon);
      const name = colon < 0 ? '' : rest.slice(colon + 1);
      if (path === '') return lacksPath(text);
      if (name === '') return ok({ transport, text, path });
      const wrong =
        transport === 'docker-archive' && !/^@\d+$/.test(name) ? nameProblem(name) : undefined;
      return wrong === undefined
        ? ok({ transport, text, path, name })
        : fail({ detail: `${quote(text)}: ${wrong}` });
    }
    case 'docker-daemon': {
      const wrong = /^sha256:[0-9a-f]{64}$/.test(rest) ? undefined : nameProblem(rest);
      return wrong === undefined
        ? ok({ transport, text, name: rest })
        : fail({ detail: `${quote(text)}: ${wrong}` });
    }
    case 'containers-storage':
      return parseStorage(text, rest, storage);
  }
}

/** `[DRIVER@ROOT+RUNROOT]NAME`, of which all but the name may come from `storage`. */
function parseStorage(
  text: string,
  rest: string,
  storage: StorageLocation | undefined,
): Parsed<LocalSource> {
  const transport = 'containers-storage';
  const [, inside, name = ''] = /^(?:\[([^\]]*)\])?(.*)$/.exec(rest) ?? [];
  if (inside !== undefined && storage !== undefined)
    return fail({ detail: `${quote(text)} has its storage in brackets, and there is storage too` });
  const wrong = /^@[0-9a-f]{64}$/.test(name) ? undefined : nameProblem(name);
  if (wrong !== undefined) return fail({ detail: `${quote(text)}: ${wrong}` });
  const location = storage ?? (inside === undefined ? undefined : parseBrackets(inside));
  if (location === undefined)
    return inside === undefined
      ? ok({ transport, text, name })
      : fail({ detail: `${quote(text)}: between the brackets is no [DRIVER@ROOT+RUNROOT]` });
  const { root, driver, runRoot } = location;
  if ([root, driver, runRoot].some((part) => part !== undefined && /[\s[\]@+:\0]/.test(part)))
    return fail({ detail: `a container storage can't have [, ], @, +, : or white space in it` });
  return ok({
    transport,
    text: `${transport}:${storageBrackets(location)}${name}`,
    name,
    path: root,
    ...(driver === undefined ? {} : { driver }),
    ...(runRoot === undefined ? {} : { runRoot }),
  });
}

/** `[overlay@/var/lib/x+/run/x]`. */
export function storageBrackets({ root, driver, runRoot }: StorageLocation): string {
  const before = driver === undefined ? '' : `${driver}@`;
  return `[${before}${root}${runRoot === undefined ? '' : `+${runRoot}`}]`;
}

function parseBrackets(inside: string): StorageLocation | undefined {
  const [, driver, root, runRoot] =
    /^(?:([a-z0-9]+)@)?([^@+:]+)(?:\+([^@+:]+))?$/.exec(inside) ?? [];
  return root === undefined ? undefined : { root, driver, runRoot };
}

function nameProblem(name: string): string | undefined {
  const reference = parseReference(name);
  return reference.ok ? undefined : reference.failure.detail;
}

function lacksPath(text: string): Parsed<never> {
  return fail({ detail: `${quote(text)} names no file or directory` });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
