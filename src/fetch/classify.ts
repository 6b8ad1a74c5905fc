import type { RegistryRefused } from '../model/failure.ts';
import { askedWait } from '../tools/skopeo.ts';
import { redact } from './redact.ts';

/**
 * What a failure of the network means for the next attempt. `temporary` may pass; `known: false` says that it
 * is temporary only because nobody knows it. `mismatch` is content of another digest: damaged on its way the
 * first time, wrong for good when it repeats.
 */
export type FailureClass =
  | {
      readonly kind: 'temporary';
      readonly known: boolean;
      /** Milliseconds until when not to ask again, by a Retry-After. */
      readonly retryAfter?: number;
    }
  | { readonly kind: 'mismatch' }
  | { readonly kind: 'refused'; readonly why: RegistryRefused['why'] }
  | { readonly kind: 'no-space' }
  /** A configuration file of this machine's is not what skopeo takes: no registry was asked. */
  | { readonly kind: 'configuration' };

const TEMPORARY = { kind: 'temporary', known: true } as const;

/** An authfile that is no JSON, has other things in it, or is none; it may name the file. */
const CREDENTIALS_BAD =
  /reading JSON file (?:"[^"]*"|\S+): (?:unmarshaling JSON|read [^:]+: is a directory)|getting username and password: .*illegal base64/i;

/**
 * By what skopeo says at the end, first match wins. The test has real outputs of each
 * (test/unit/fetch/classify.test.ts).
 */
const TABLE: readonly (readonly [RegExp, FailureClass])[] = [
  [/no space left on device|disk quota exceeded/i, { kind: 'no-space' }],
  // What is wrong there may read like a fault of the network: "unexpected EOF".
  [
    /loading (?:drop-in )?registries configuration|^parsing \/\S+\.ya?ml: | is blocked in \S*registries\.conf/i,
    { kind: 'configuration' },
  ],
  [CREDENTIALS_BAD, { kind: 'configuration' }],
  [
    /digest did not match|does not match provided manifest digest|digest mismatch/i,
    { kind: 'mismatch' },
  ],
  [/source image rejected|error loading trust policy/i, { kind: 'refused', why: 'untrusted' }],
  // An authfile that this user may not read.
  [
    /(?:open|stat|read) \S*(?:auth|config)\.json: permission denied/i,
    { kind: 'refused', why: 'unauthorized' },
  ],
  // A credential helper that fails.
  [
    /getting username and password|error getting credentials/i,
    { kind: 'refused', why: 'unauthorized' },
  ],
  [/toomanyrequests|too many requests|(?:registry|status:?|StatusCode:) 429\b/i, TEMPORARY],
  [/(?:registry|status:?|StatusCode:) 5\d\d\b/i, TEMPORARY],
  [/unexpected EOF|: EOF$|connection reset|broken pipe|connection refused/i, TEMPORARY],
  [/use of closed network connection|stream error: |server sent GOAWAY/i, TEMPORARY],
  [/no such host|server misbehaving|temporary failure in name resolution/i, TEMPORARY],
  [/i\/o timeout|timeout awaiting|deadline exceeded|Client\.Timeout|handshake timeout/i, TEMPORARY],
  [/no route to host|network is unreachable|connection timed out/i, TEMPORARY],
  // What the certificate says does not change in a minute.
  [/x509: |server gave HTTP response to HTTPS client/i, { kind: 'refused', why: 'denied' }],
  [
    /: unauthorized(?::|$)|authentication required|unable to retrieve auth token|(?:registry|status:?|StatusCode:) 401\b/i,
    { kind: 'refused', why: 'unauthorized' },
  ],
  [/: denied(?::|$)|(?:registry|status:?|StatusCode:) 403\b/i, { kind: 'refused', why: 'denied' }],
  [
    /manifest unknown|name unknown|blob unknown|: not found(?::|$)|(?:registry|status:?|StatusCode:) 404\b/i,
    { kind: 'refused', why: 'not-found' },
  ],
  [
    /: unsupported(?::|$)|unsupported (?:manifest|media|schema|docker|mime)|invalid reference format|cannot unmarshal|invalid character|unimplemented manifest/i,
    { kind: 'refused', why: 'unsupported' },
  ],
];

/** `stderr` is all of it: what counts is the last message, not skopeo's own attempts before. */
export function classifySkopeo(stderr: string): FailureClass {
  const message = lastMessage(stderr);
  const found = TABLE.find(([pattern]) => pattern.test(message))?.[1];
  if (found === undefined) return { kind: 'temporary', known: false };
  const retryAfter = found.kind === 'temporary' ? askedRetryAfter(stderr) : undefined;
  return retryAfter === undefined ? found : { kind: 'temporary', known: true, retryAfter };
}

/**
 * What the registry's last Retry-After was, by the waits that skopeo kept: its own are 2 s, then twice as long each
 * time (c/image, docker_client.go).
 */
function askedRetryAfter(stderr: string): number | undefined {
  const waits = stderr.split('\n').flatMap((line) => askedWait(line) ?? []);
  const last = waits.at(-1);
  return last === undefined || waits.every((wait, index) => wait === 2_000 * 2 ** index)
    ? undefined
    : last;
}

/** Whether what is wrong in a file of this machine's is its credentials, and the file where skopeo names it. */
export function wrongCredentials(stderr: string): { readonly file?: string } | undefined {
  const message = lastMessage(stderr);
  if (!CREDENTIALS_BAD.test(message)) return undefined;
  const file = /reading JSON file "([^"]+)"/i.exec(message)?.[1];
  return file === undefined ? {} : { file };
}

/** An HTTP status that is not a success, of a web server; `retryAfter` in milliseconds. */
export function classifyStatus(status: number, retryAfter?: number): FailureClass {
  if (status === 401 || status === 407) return { kind: 'refused', why: 'unauthorized' };
  if (status === 403) return { kind: 'refused', why: 'denied' };
  if (status === 404 || status === 410) return { kind: 'refused', why: 'not-found' };
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    return retryAfter === undefined ? TEMPORARY : { ...TEMPORARY, retryAfter };
  return { kind: 'refused', why: 'unsupported' };
}

/** What skopeo says of every image that it can't read: nothing is wrong with the name. */
const PREFIX = /^Error parsing image name "[^"]*": /;

/** skopeo's last message without logrus's frame, secrets taken out. */
export function lastMessage(stderr: string): string {
  const line = stderr.trimEnd().split('\n').at(-1) ?? '';
  const framed = /\bmsg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  const message =
    framed === undefined ? line : framed.replace(/(?:\\[nt])+/g, ' ').replace(/\\(.)/g, '$1');
  return redact(message.replace(PREFIX, '')).trim();
}
