import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { it } from 'node:test';
import type { Result } from '../../../src/model/result.ts';
import type { HttpFailure, HttpOptions } from '../../../src/tools/http.ts';
import { download, isLoopback } from '../../../src/tools/http.ts';

async function get(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: Partial<HttpOptions> = {},
  address = (host: string): string => `http://${host}/x`,
): Promise<{ readonly result: Result<void, HttpFailure>; readonly body: string }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  assert(typeof bound === 'object' && bound !== null);
  const host = `127.0.0.1:${bound.port}`;
  let body = '';
  try {
    const proxies =
      options.proxies === undefined
        ? {}
        : { proxies: { ...options.proxies, http: `http://u:p@${host}` } };
    const all = { signal: new AbortController().signal, stall: 2_000, mayBePlain: () => true };
    const result = await download(address(host), { ...all, ...options, ...proxies }, (chunk) => {
      body += chunk.toString();
      return Promise.resolve();
    });
    return { result, body };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

it('reads a body, also behind a redirect', async () => {
  const { result, body } = await get((request, response) => {
    if (request.url === '/x') response.writeHead(302, { location: '/y' }).end('no');
    else response.end('content');
  });
  assert.deepEqual([result.ok, body], [true, 'content']);
});

it('tells a status', async () => {
  const { result } = await get((_, response) => response.writeHead(503).end());
  assert.deepEqual(result, { ok: false, failure: { reason: 'status', status: 503 } });
});

it('does not go round in circles', async () => {
  const { result } = await get((_, response) => response.writeHead(302, { location: '/x' }).end());
  assert(!result.ok && result.failure.reason === 'not-allowed');
});

it('refuses plain http, also behind a redirect', async () => {
  let asked = 0;
  const { result } = await get(
    (_, response) => {
      asked++;
      response.writeHead(302, { location: 'http://plain.example/' }).end();
    },
    { mayBePlain: isLoopback },
  );
  assert(!result.ok && result.failure.reason === 'not-allowed');
  assert.match(result.failure.detail, /plain\.example/);
  assert.equal(asked, 1);
});

it('finds a body that ends too early', async () => {
  const { result } = await get((_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('half');
    setTimeout(() => response.destroy(), 50);
  });
  assert(!result.ok && result.failure.reason === 'network');
});

it('ends a body that stalls, and an answer that never comes', async () => {
  for (const answer of [
    () => undefined,
    (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': 100 }).write('half');
    },
  ]) {
    const { result } = await get(answer, { stall: 200 });
    assert(!result.ok && result.failure.reason === 'network', JSON.stringify(result));
  }
});

it('asks a proxy for the whole address, and gives it its credentials', async () => {
  let seen: IncomingMessage | undefined;
  const { body } = await get(
    (request, response) => {
      seen = request;
      response.end('by proxy');
    },
    { proxies: { none: [] } },
    () => 'http://far.example/x',
  );
  assert.equal(body, 'by proxy');
  assert.equal(seen?.url, 'http://far.example/x');
  assert.equal(seen.headers['proxy-authorization'], `Basic ${btoa('u:p')}`);
});

it('isLoopback', () => {
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1:1', '127.9.9.9', '[::1]:5000'])
    assert(isLoopback(host), host);
  for (const host of ['ghcr.io', '10.0.0.1', '127.example.org', 'localhost.example', '1.127.0.0'])
    assert(!isLoopback(host), host);
});
