import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { atEnd, type Owner } from './owner.ts';

/** What goes wrong, on which requests. The first fault that matches and has `times` left is taken. */
export type Fault = {
  /** Tested against the path with its query. */
  readonly match: RegExp;
  /** Default GET. */
  readonly method?: string;
  /** How often; default always. */
  readonly times?: number;
} & (
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Half of the body, then the connection is reset (RST) or closed (FIN), or nothing more comes. */
  | { readonly kind: 'reset' | 'truncate' | 'stall' }
  /** One byte in the middle is another one; the length is right. */
  | { readonly kind: 'corrupt' }
  /** 200 with a page, such as a captive portal's. */
  | { readonly kind: 'html' }
  /** The true answer, `milliseconds` late. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
);

export interface ProxiedRequest {
  readonly method: string;
  readonly path: string;
  /** What the client got; 0 while it waits. */
  status: number;
  readonly fault?: Fault['kind'];
  /** Milliseconds since the proxy started. */
  readonly at: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes of the body that were sent. */
  bytes: number;
}

export interface FaultProxy {
  /** `127.0.0.1:41234` */
  readonly host: string;
  readonly url: string;
  readonly requests: readonly ProxiedRequest[];
  /** Other faults from now on; the counts start anew. */
  setFaults(faults: readonly Fault[]): void;
  forget(): void;
  stop(): Promise<void>;
}

/** A proxy in front of a registry over plain http that passes everything on but what `faults` name. */
export async function startFaultProxy(
  owner: Owner,
  options: { readonly upstream: string; readonly faults?: readonly Fault[] },
): Promise<FaultProxy> {
  const started = Date.now();
  const requests: ProxiedRequest[] = [];
  let faults = withCounts(options.faults ?? []);
  const server = createServer((incoming, answer) => {
    const method = incoming.method ?? 'GET';
    const path = incoming.url ?? '/';
    const taken = faults.find(
      ({ fault, left }) => left > 0 && (fault.method ?? 'GET') === method && fault.match.test(path),
    );
    if (taken !== undefined) taken.left -= 1;
    const record: ProxiedRequest = {
      method,
      path,
      status: 0,
      ...(taken === undefined ? {} : { fault: taken.fault.kind }),
      at: Date.now() - started,
      headers: incoming.headers,
      bytes: 0,
    };
    requests.push(record);
    serve(options.upstream, incoming, answer, record, taken?.fault);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  atEnd(owner, stop);
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    requests,
    setFaults: (next) => {
      faults = withCounts(next);
    },
    forget: () => {
      requests.length = 0;
    },
    stop,
  };
}

function withCounts(faults: readonly Fault[]): { fault: Fault; left: number }[] {
  return faults.map((fault) => ({ fault, left: fault.times ?? Infinity }));
}

function serve(
  upstream: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  record: ProxiedRequest,
  fault: Fault | undefined,
): void {
  const plain = (
    status: number,
    body: string,
    headers: Readonly<Record<string, string>> = {},
  ): void => {
    incoming.resume();
    record.status = status;
    record.bytes = body.length;
    answer.writeHead(status, { 'Content-Length': String(body.length), ...headers });
    answer.end(incoming.method === 'HEAD' ? undefined : body);
  };
  switch (fault?.kind) {
    case 'status':
      plain(fault.status, '', fault.headers);
      return;
    case 'html':
      plain(200, '<!doctype html><title>Log in</title><p>Welcome to the hotel.</p>\n', {
        'Content-Type': 'text/html; charset=utf-8',
      });
      return;
    case 'delay':
      setTimeout(() => {
        forward(upstream, incoming, answer, record, undefined);
      }, fault.milliseconds);
      return;
    case 'reset':
    case 'truncate':
    case 'stall':
    case 'corrupt':
    case undefined:
      forward(upstream, incoming, answer, record, fault?.kind);
      return;
  }
}

function forward(
  upstream: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  record: ProxiedRequest,
  fault: 'reset' | 'truncate' | 'stall' | 'corrupt' | undefined,
): void {
  const outgoing = request(
    new URL(incoming.url ?? '/', upstream),
    // With the client's Host, so that the registry's Location points back here.
    { method: incoming.method, headers: incoming.headers },
    (reply) => {
      record.status = reply.statusCode ?? 502;
      answer.writeHead(record.status, reply.headers);
      const length = Number(reply.headers['content-length'] ?? 0);
      if (fault === undefined) {
        reply.on('data', (chunk: Buffer) => (record.bytes += chunk.length));
        reply.pipe(answer);
        return;
      }
      spoil(reply, answer, record, fault, Math.floor(length / 2));
    },
  );
  outgoing.on('error', () => {
    answer.destroy();
  });
  answer.on('close', () => {
    outgoing.destroy();
  });
  incoming.pipe(outgoing);
}

function spoil(
  reply: IncomingMessage,
  answer: ServerResponse,
  record: ProxiedRequest,
  fault: 'reset' | 'truncate' | 'stall' | 'corrupt',
  middle: number,
): void {
  const chunks: Buffer[] = [];
  reply.on('data', (chunk: Buffer) => chunks.push(chunk));
  reply.on('end', () => {
    const body = Buffer.concat(chunks);
    if (fault === 'corrupt') {
      body[middle] = (body[middle] ?? 0) ^ 0x01;
      record.bytes = body.length;
      answer.end(body);
      return;
    }
    record.bytes = middle;
    answer.write(body.subarray(0, middle), () => {
      if (fault === 'reset') answer.socket?.resetAndDestroy();
      else if (fault === 'truncate') answer.socket?.end();
    });
  });
}
