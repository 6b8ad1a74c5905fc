import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { before, describe, it } from 'node:test';
import type { Image } from '../rig/image.ts';
import { makeImage, makeLayer, noise, writeDirectory } from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import type { Outcome } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** A registry that is not on loopback by its name, reached through a proxy as a company's is. */
const HOST = 'registry.stowage.test:5443';
const USER = 'builder';
const PASSWORD = 'correct-horse-battery';
const SECRETS = [PASSWORD, Buffer.from(`${USER}:${PASSWORD}`).toString('base64')];

const owner = fileOwner();
let directory: string;
let registry: Registry;
let proxy: Proxy;
let image: Image;
let bundle: string;
let authfile: string;
let certificates: string;
let runs = 0;

before(async () => {
  directory = temporaryTree(owner);
  const users = { [USER]: PASSWORD };
  registry = await startRegistry(owner, { users, tls: true, names: ['registry.stowage.test'] });
  proxy = await startProxy(owner, registry.host);
  const layers = [await makeLayer({ file: noise(1, 2_000_000) })];
  image = await makeImage({ platform: 'linux/amd64', layers });
  await push(registry, 'home/a:1', image);
  bundle = writeBundle('bundle', `docker://${HOST}/home/a:1`);
  authfile = join(directory, 'auth.json');
  const auth = SECRETS[1] ?? '';
  writeFileSync(authfile, JSON.stringify({ auths: { [HOST]: { auth } } }), { mode: 0o600 });
  certificates = join(directory, 'certs');
  await mkdir(certificates);
  await symlink(registry.certificates?.dir ?? '', join(certificates, HOST));
});

describe('a registry with a log-in and a certificate of an own authority', () => {
  it('works with authfile and certificate, and the password is nowhere', async (t) => {
    const { outcome, place, commands } = await fetch(t, [
      ...['--authfile', authfile, '--cert-dir', certificates, '--debug'],
    ]);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.ok(proxy.asked.includes(HOST), 'it went through the proxy');
    assert.ok(
      commands.some((command) => command.includes('skopeo')),
      'nobody looked while it ran',
    );
    const texts = [outcome.stderr, outcome.stdout, ...commands, ...filesIn(place)];
    for (const secret of SECRETS)
      assert.ok(!texts.some((text) => text.includes(secret)), 'a secret got out');

    await registry.forget();
    const warm = await fetch(t, ['--frozen'], { place });
    assert.equal(warm.outcome.code, 0, warm.outcome.stderr);
    assert.deepEqual(await registry.requests(), []);
  });

  it('a directory of certificates for all hosts does too', async (t) => {
    const { outcome } = await fetch(t, [
      ...['--authfile', authfile, '--cert-dir', registry.certificates?.dir ?? ''],
    ]);
    assert.equal(outcome.code, 0, outcome.stderr);
  });

  it('without the authfile ends with 5 at once, and says where credentials were looked for', async (t) => {
    const { outcome } = await fetch(t, ['--cert-dir', certificates]);
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /wants credentials/);
    assert.match(
      outcome.stderr,
      /no --authfile was given, so .* looked for in .*auth\.json, then .*\.docker\/config\.json/,
    );
    assert.doesNotMatch(outcome.stderr, /attempt 2/);
  });

  it('with an authfile that does not help, names that file', async (t) => {
    const wrong = join(directory, 'wrong.json');
    const auth = Buffer.from(`${USER}:wrong-password`).toString('base64');
    writeFileSync(wrong, JSON.stringify({ auths: { [HOST]: { auth } } }));
    const empty = join(directory, 'empty.json');
    writeFileSync(empty, '{}');
    for (const file of [wrong, empty]) {
      const { outcome } = await fetch(t, ['--cert-dir', certificates, '--authfile', file]);
      assert.equal(outcome.code, 5, outcome.stderr);
      assert.ok(
        outcome.stderr.includes(`the credentials tried are those in ${file}`),
        outcome.stderr,
      );
      assert.match(outcome.stderr, /the registry wants credentials, or others than it got: /);
      assert.ok(outcome.stderr.includes(`hint: look whether ${file} has this registry`));
      assert.ok(!outcome.stderr.includes(auth));
    }
  });

  it('with an authfile that is none, ends with 6 at once and blames no registry', async (t) => {
    const broken = join(directory, 'broken.json');
    for (const content of ['no json', '{"auths": []}', `{"auths": {"${HOST}": {"auth": "!"}}}`]) {
      writeFileSync(broken, content);
      const { outcome } = await fetch(t, ['--cert-dir', certificates, '--authfile', broken]);
      assert.equal(outcome.code, 6, outcome.stderr);
      assert.doesNotMatch(outcome.stderr, /wants credentials|attempt/);
      const file = content.includes('"!"') ? 'the authfile' : broken;
      assert.ok(
        outcome.stderr.includes(`hint: mend ${file}: containers-auth.json(5) tells`),
        outcome.stderr,
      );
    }
  });

  it('without the certificate ends with 5, and says why', async (t) => {
    const { outcome } = await fetch(t, ['--authfile', authfile]);
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /x509|certificate/);
    const insecure = await fetch(t, ['--authfile', authfile, '--insecure', HOST]);
    assert.equal(insecure.outcome.code, 0, insecure.outcome.stderr);
  });

  it('asks a credential helper that the authfile names', async (t) => {
    const bin = join(directory, 'bin');
    await mkdir(bin);
    const answer = JSON.stringify({ ServerURL: HOST, Username: USER, Secret: PASSWORD });
    await writeFile(
      join(bin, 'docker-credential-stowage-test'),
      `#!/bin/sh\ncat >/dev/null\necho '${answer}'\n`,
    );
    await chmod(join(bin, 'docker-credential-stowage-test'), 0o755);
    const file = join(directory, 'helper.json');
    writeFileSync(file, JSON.stringify({ credHelpers: { [HOST]: 'stowage-test' } }));
    const { outcome } = await fetch(t, ['--cert-dir', certificates, '--authfile', file], {
      env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    });
    assert.equal(outcome.code, 0, outcome.stderr);
  });
});

describe('a registry that wants a certificate of the builder too', () => {
  it('gets it from the directory of that host, and nobody else is let in', async (t) => {
    const strict = await startRegistry(t, {
      tls: true,
      clientCertificates: true,
      names: ['strict.stowage.test'],
    });
    const name = 'strict.stowage.test:5443';
    const through = await startProxy(t, strict.host);
    const trusted = join(temporaryTree(t), 'certs');
    await mkdir(join(trusted), { recursive: true });
    const own = strict.certificates;
    assert.ok(own);
    // The rig's push shows no certificate: into its storage by another registry.
    const open = await startRegistry(t, { storage: strict.storage });
    await push(open, 'home/a:1', image);
    const config = writeBundle('strict', `docker://${name}/home/a:1`);
    await symlink(own.dir, join(trusted, name));
    const env = { https_proxy: through.url };
    const refused = await fetch(t, ['--cert-dir', trusted, '--retry-delays', ''], { config, env });
    assert.notEqual(refused.outcome.code, 0);
    const complete = join(temporaryTree(t), 'certs');
    await mkdir(complete);
    await symlink(own.clientDir, join(complete, name));
    const { outcome } = await fetch(t, ['--cert-dir', complete], { config, env });
    assert.equal(outcome.code, 0, outcome.stderr);
  });
});

describe('files by https', () => {
  it('come from a server whose authority is in the directory of its host, through the proxy', async (t) => {
    const own = registry.certificates;
    assert.ok(own);
    const server = createHttpsServer(
      { cert: readFileSync(own.certificate), key: readFileSync(own.key) },
      (_, response) => response.end('profile'),
    );
    const through = await startProxy(t, await listen(t, server));
    // The image from here, so that the server is asked for nothing else.
    const dir = join(directory, 'image');
    await writeDirectory(dir, image);
    const files = `files: { p: { url: "https://${HOST}/p.txt" } }`;
    const config = writeBundle('files', `dir:${dir}`, files);
    const trusted = ['--cert-dir', certificates];
    const env = { https_proxy: through.url };
    const { outcome } = await fetch(t, trusted, { config, env });
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.deepEqual(new Set(through.asked), new Set([HOST]));
    const untrusted = await fetch(t, ['--retry-delays', '0'], { config, env });
    assert.equal(untrusted.outcome.code, 5, untrusted.outcome.stderr);
    assert.match(untrusted.outcome.stderr, /certificate/);
  });
});

describe('--mirror-only', () => {
  it('asks the mirror for everything, and the image’s own registry for nothing', async (t) => {
    const mirror = await startRegistry(t);
    await push(mirror, 'home/a:1', image);
    await registry.forget();
    const through = await startProxy(t, registry.host);
    const env = { https_proxy: through.url };
    const only = ['--mirror', mirror.host, '--mirror-only'];
    const { outcome, place } = await fetch(t, only, { env });
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.ok((await mirror.requests()).length > 0);
    assert.deepEqual(through.asked, []);
    assert.ok(filesIn(place).length > 0);
  });

  it('ends with 5 where the mirror has it not, and never tries further', async (t) => {
    const mirror = await startRegistry(t);
    const through = await startProxy(t, registry.host);
    const env = { https_proxy: through.url };
    const { outcome } = await fetch(t, ['--mirror', mirror.host, '--mirror-only'], { env });
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /not found/);
    assert.deepEqual(through.asked, []);
  });

  it('asks for no file on the web, and takes those beside the bundle', async (t) => {
    const mirror = await startRegistry(t);
    await push(mirror, 'home/a:1', image);
    const through = await startProxy(t, registry.host);
    const env = { https_proxy: through.url };
    const only = ['--mirror', mirror.host, '--mirror-only'];
    const remote = writeBundle(
      'remote',
      `docker://${HOST}/home/a:1`,
      `files: { p: { url: "https://${HOST}/p" } }`,
    );
    const refused = await fetch(t, only, { config: remote, env });
    assert.equal(refused.outcome.code, 5, refused.outcome.stderr);
    assert.match(refused.outcome.stderr, /--mirror-only/);
    writeFileSync(join(directory, 'beside.txt'), 'here');
    const beside = writeBundle(
      'beside',
      `docker://${HOST}/home/a:1`,
      'files: { p: { url: beside.txt } }',
    );
    const taken = await fetch(t, only, { config: beside, env });
    assert.equal(taken.outcome.code, 0, taken.outcome.stderr);
    assert.deepEqual(through.asked, []);
  });

  it('without a mirror is a mistake', async (t) => {
    const { outcome } = await fetch(t, ['--mirror-only']);
    assert.equal(outcome.code, 2);
    assert.match(outcome.stderr, /--mirror-only/);
  });
});

interface Fetched {
  readonly outcome: Outcome;
  /** Where pins and store are. */
  readonly place: string;
  /** Every command line on this machine while it ran. */
  readonly commands: readonly string[];
}

async function fetch(
  t: TestContext,
  args: readonly string[],
  options: {
    readonly config?: string;
    readonly place?: string;
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<Fetched> {
  const place = options.place ?? join(directory, `run-${runs++}`);
  await mkdir(place, { recursive: true });
  const child = startStowage(
    t,
    [
      ...['fetch', '-b', options.config ?? bundle, '-p', join(place, 'pins.json')],
      ...['-s', join(place, 'store'), '--platform', 'linux/amd64', '--engine-version', '28.5.2'],
      ...args,
    ],
    { env: { https_proxy: proxy.url, ...options.env }, cwd: directory },
  );
  const commands = new Set<string>();
  const timer = setInterval(() => {
    for (const command of commandLines()) commands.add(command);
  }, 20);
  const outcome = await child.ended;
  clearInterval(timer);
  return { outcome, place, commands: [...commands] };
}

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
}

/** The loader's image is the image itself: what it is does not matter here. */
function writeBundle(name: string, source: string, more = ''): string {
  const path = join(directory, `${name}.yaml`);
  writeFileSync(
    path,
    `stowage: 1\nengine: { dind: "${source}" }\nimages: { a: { from: "${source}", tags: [a] } }\n${more}\n`,
  );
  return path;
}

function filesIn(place: string): string[] {
  return readdirSync(place, { recursive: true, encoding: 'utf8' })
    .map((name) => join(place, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'));
}

interface Proxy {
  readonly url: string;
  /** What it was asked to connect to, in order. */
  readonly asked: readonly string[];
}

/** An http proxy that leads every name to one server. */
async function startProxy(end: Owner, target: string): Promise<Proxy> {
  const asked: string[] = [];
  const [host = '', port = ''] = target.split(':');
  const server = createHttpServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    const upstream = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  return { url: `http://${await listen(end, server)}`, asked };
}

async function listen(end: Owner, server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(end, () => {
    server.close();
    if ('closeAllConnections' in server)
      (server as unknown as { closeAllConnections(): void }).closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
