import type { FailedSource, RegistryTemporary } from '../model/failure.ts';
import { countOf } from './count-of.ts';

/** Everybody who was asked, where that is more than an image's own registry. */
export function describeTemporary({ what, detail, attempts, sources }: RegistryTemporary): string {
  const tried = `(${countOf(attempts, 'attempt')})`;
  const [first, ...others] = sources ?? [];
  if (first === undefined) return `${what}: ${detail} ${tried}`;
  if (others.length === 0) return `${what}: ${describeSource(first)} ${tried}`;
  return [
    `${what}: nobody who was asked gave it ${tried}:`,
    ...[first, ...others].map((source) => `  ${describeSource(source)}`),
  ].join('\n');
}

/** What to look at first: a mirror that was given, then what the last answer is known to mean. */
export function temporaryHint({ detail, sources = [], by }: RegistryTemporary): string {
  const mirrors = sources.filter(({ kind }) => kind === 'mirror').map(({ name }) => name);
  const other = by === 'address' ? '' : ', or give a --mirror';
  if (mirrors.length > 0)
    return `see whether ${mirrors.join(' and ')} of --mirror ${mirrors.length === 1 ? 'is' : 'are'} right and up, or leave ${mirrors.length === 1 ? 'it' : 'them'} out; else run it again later`;
  const cause = CAUSES.find(([pattern]) => pattern.test(detail))?.[1];
  return cause === undefined
    ? `this may pass: run it again later${other}`
    : `${cause}${other}; if all of that is right, run it again later`;
}

/** First match wins. */
const CAUSES: readonly (readonly [RegExp, string])[] = [
  [/proxyconnect/i, 'the proxy does not answer: see what https_proxy, http_proxy and no_proxy say'],
  [
    /connection refused|ECONNREFUSED/i,
    'nothing listens at this host and port: check both in the bundle, and whether it is up and this machine reaches it (behind a proxy: https_proxy)',
  ],
  [
    /no such host|ENOTFOUND|EAI_AGAIN|name resolution|server misbehaving/i,
    'this machine does not find that host: check its name in the bundle, and the network (behind a proxy: https_proxy)',
  ],
  [
    /no route to host|network is unreachable|ENETUNREACH|EHOSTUNREACH/i,
    'this machine has no way to that host: check the network (behind a proxy: https_proxy)',
  ],
];

function describeSource({ kind, name, detail }: FailedSource): string {
  return `the ${kind} ${name}: ${detail}`;
}
