import * as http from 'node:http';
import * as https from 'node:https';
import { connect as connectTls } from 'node:tls';
import type { Socket } from 'node:net';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** How web servers are read. The caller reads proxies from the environment. */
export interface HttpOptions {
  readonly signal: AbortSignal;
  /** Milliseconds without a byte after which it is given up. */
  readonly stall: number;
  /** Whether plain http to this `host` or `host:port` is allowed, and a certificate that nobody vouches for. */
  readonly mayBePlain: (host: string) => boolean;
  readonly proxies?: Proxies | undefined;
  /** Certificates for `host` or `host:port` besides the usual ones. */
  readonly certificates?: ((host: string) => Promise<Certificates | undefined>) | undefined;
}

/** PEM: authorities, and a client's own certificate and key. */
export interface Certificates {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}

/** As in HTTP_PROXY, HTTPS_PROXY and NO_PROXY: URLs of http proxies; hosts, `.domain` suffixes or `*`. */
export interface Proxies {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  readonly none: readonly string[];
}

export type HttpFailure =
  /** `retryAfter` in milliseconds, where the server says it. */
  | { readonly reason: 'status'; readonly status: number; readonly retryAfter?: number }
  | { readonly reason: 'network'; readonly detail: string }
  | { readonly reason: 'not-allowed'; readonly detail: string }
  | { readonly reason: 'aborted' };

const MOST_REDIRECTS = 5;

/**
 * GET, following redirects; `take` gets each chunk and is awaited. What `take` throws is thrown on. A body
 * that ends before its announced length is a network failure.
 */
export async function download(
  address: string,
  options: HttpOptions,
  take: (chunk: Buffer) => Promise<void>,
): Promise<Result<void, HttpFailure>> {
  let url = new URL(address);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && options.mayBePlain(url.host)))
      return fail({
        reason: 'not-allowed',
        detail: `${url.protocol}//${url.host} is neither https nor a host that is named insecure`,
      });
    let response: http.IncomingMessage;
    try {
      response = await request(url, options);
    } catch (error) {
      return fail(networkFailure(error, options.signal));
    }
    const status = response.statusCode ?? 0;
    if (status === 200) return readBody(response, options, take);
    response.destroy();
    const location = response.headers.location;
    if (![301, 302, 303, 307, 308].includes(status) || location === undefined)
      return fail({ reason: 'status', status, ...retryAfterOf(response) });
    url = new URL(location, url);
  }
  return fail({ reason: 'not-allowed', detail: `more than ${MOST_REDIRECTS} redirects` });
}

/** RFC 9110, 10.2.3: seconds, or a date. */
function retryAfterOf(response: http.IncomingMessage): { readonly retryAfter?: number } {
  const text = response.headers['retry-after']?.trim() ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(wait) && wait > 0 ? { retryAfter: wait } : {};
}

/** Whether a host, with or without a port, is this machine. */
export function isLoopback(host: string): boolean {
  const name = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '::1' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

async function readBody(
  response: http.IncomingMessage,
  options: HttpOptions,
  take: (chunk: Buffer) => Promise<void>,
): Promise<Result<void, HttpFailure>> {
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    let next: IteratorResult<Buffer>;
    try {
      next = await chunks.next();
    } catch (error) {
      return fail(networkFailure(error, options.signal));
    }
    if (next.done === true) return ok();
    try {
      await take(next.value);
    } catch (error) {
      response.destroy();
      throw error;
    }
  }
}

async function request(url: URL, options: HttpOptions): Promise<http.IncomingMessage> {
  const proxy = proxyFor(url, options.proxies);
  const own = url.protocol === 'https:' ? await options.certificates?.(url.host) : undefined;
  const { ca, ...client } = own ?? {};
  const tls = {
    ...client,
    ...(ca === undefined ? { rejectUnauthorized: !options.mayBePlain(url.host) } : { ca: [...ca] }),
  };
  const headers = { 'user-agent': 'stowage', accept: '*/*' };
  if (proxy === undefined) {
    const get = url.protocol === 'https:' ? https.request : http.request;
    return respond(get(url, { headers, signal: options.signal, ...tls }), url, options.stall);
  }
  if (url.protocol === 'http:') {
    const through = http.request(proxy, {
      path: url.href,
      headers: { ...headers, host: url.host, ...proxyAuthorization(proxy) },
      signal: options.signal,
    });
    return respond(through, url, options.stall);
  }
  const socket = await tunnel(proxy, url, options);
  const secured = https.request(url, {
    headers,
    signal: options.signal,
    // With any agent, `false` too, that would make the connection.
    agent: undefined,
    createConnection: () => connectTls({ socket, servername: url.hostname, ...tls }),
  });
  return respond(secured, url, options.stall);
}

function respond(sent: http.ClientRequest, url: URL, stall: number): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.setTimeout(stall, () => {
      sent.destroy(new Error(`no byte from ${url.host} for ${stall / 1000} s`));
    });
    sent.once('response', resolve);
    sent.on('error', reject);
    sent.end();
  });
}

async function tunnel(proxy: URL, url: URL, options: HttpOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const target = `${url.hostname}:${url.port === '' ? '443' : url.port}`;
    const sent = http.request(proxy, {
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...proxyAuthorization(proxy) },
      signal: options.signal,
    });
    sent.setTimeout(options.stall, () => {
      sent.destroy(new Error(`no byte from the proxy ${proxy.host} for ${options.stall / 1000} s`));
    });
    sent.once('connect', (response, socket: Socket) => {
      if (response.statusCode === 200) resolve(socket);
      else {
        socket.destroy();
        reject(new Error(`the proxy ${proxy.host} answered ${response.statusCode ?? 0}`));
      }
    });
    sent.on('error', reject);
    sent.end();
  });
}

function proxyFor(url: URL, proxies: Proxies | undefined): URL | undefined {
  const proxy = url.protocol === 'https:' ? proxies?.https : proxies?.http;
  if (proxies === undefined || proxy === undefined || proxy === '') return undefined;
  const exempt = proxies.none.some((rule) => {
    const name = rule.replace(/^\*?\./, '');
    if (rule === '*' || rule === url.host) return true;
    return name !== '' && (url.hostname === name || url.hostname.endsWith(`.${name}`));
  });
  if (exempt || isLoopback(url.host)) return undefined;
  return new URL(proxy.includes('://') ? proxy : `http://${proxy}`);
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === '') return {};
  const plain = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(plain).toString('base64')}` };
}

function networkFailure(error: unknown, signal: AbortSignal): HttpFailure {
  if (signal.aborted) return { reason: 'aborted' };
  const detail = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && BAD_CERTIFICATE.test(code)
    ? { reason: 'not-allowed', detail: `its certificate is not accepted: ${detail}` }
    : { reason: 'network', detail };
}

/** Node's names (tls, "X509 certificate error codes"). What a certificate says does not change in a minute. */
const BAD_CERTIFICATE =
  /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|CRL_|INVALID_CA$|INVALID_PURPOSE$|HOSTNAME_MISMATCH$|ERR_TLS_CERT_)/;
