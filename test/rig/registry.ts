import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeCertificates, type Certificates } from './certificates.ts';
import { atEnd, type Owner } from './owner.ts';
import { must, startDaemon, waitFor } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

export interface Request {
  readonly method: string;
  /** With the query, as in the request line. */
  readonly path: string;
  readonly status: number;
}

export interface RegistryOptions {
  /** Takes this port if it can; default any free one. */
  readonly port?: number;
  /** Users and their passwords; everybody else gets 401. */
  readonly users?: Readonly<Record<string, string>>;
  /** https with a certificate of an own CA, which nobody trusts by itself. */
  readonly tls?: boolean;
  /** Host names in its certificate besides loopback's. */
  readonly names?: readonly string[];
  /** Lets in only who shows a certificate of that CA. */
  readonly clientCertificates?: boolean;
  /** A pull-through cache of the registry at this URL: it takes no pushes. */
  readonly cacheOf?: string;
  /** Storage that outlives the registry, or that several share; default its own. */
  readonly storage?: string;
  /** Listens on this address of a network namespace, ip-netns(8), instead of on loopback. */
  readonly at?: { readonly namespace: string; readonly address: string };
  /** Listens on the loopback of this process's network, where that is another one. */
  readonly networkOf?: number;
}

/** Debian's docker-registry on loopback, over a storage directory of its own. */
export interface Registry {
  /** `127.0.0.1:41234` */
  readonly host: string;
  /** `http://127.0.0.1:41234` */
  readonly url: string;
  readonly certificates?: Certificates;
  readonly storage: string;
  /** An authfile that lets skopeo in as the first of `users`. */
  readonly authfile?: string;
  /** Every request answered so far, in the order of their ends. */
  requests(): Promise<Request[]>;
  /** Forgets the requests so far. */
  forget(): Promise<void>;
  /** Ends it; storage stays until the owner ends. May be called more than once. */
  stop(): Promise<void>;
}

export async function startRegistry(
  owner: Owner,
  options: RegistryOptions = {},
): Promise<Registry> {
  const dir = temporaryTree(owner);
  const storage = options.storage ?? join(dir, 'storage');
  await mkdir(storage, { recursive: true });
  const certificates =
    options.tls === true ? await makeCertificates(join(dir, 'tls'), options.names) : undefined;
  const config = {
    version: 0.1,
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: {
      addr: `${options.at?.address ?? '127.0.0.1'}:${options.port ?? 0}`,
      secret: 'of-this-test-alone',
      ...(certificates === undefined
        ? {}
        : {
            tls: {
              certificate: certificates.certificate,
              key: certificates.key,
              ...(options.clientCertificates === true
                ? { clientcas: [certificates.authority] }
                : {}),
            },
          }),
    },
    ...(options.cacheOf === undefined ? {} : { proxy: { remoteurl: options.cacheOf } }),
    ...(options.users === undefined
      ? {}
      : {
          auth: {
            htpasswd: { realm: 'test', path: await passwordFile(dir, options.users) },
          },
        }),
  };
  // JSON is YAML.
  const configFile = join(dir, 'config.yml');
  writeFileSync(configFile, JSON.stringify(config));
  const accessLog = join(dir, 'access.log');
  const ownLog = join(dir, 'registry.log');
  const outputs = [openSync(accessLog, 'a'), openSync(ownLog, 'a')] as const;
  const serve: [string, ...string[]] = ['docker-registry', 'serve', configFile];
  const network =
    options.at === undefined
      ? options.networkOf && `/proc/${options.networkOf}/ns/net`
      : `/run/netns/${options.at.namespace}`;
  const [program, ...args]: [string, ...string[]] =
    network === undefined ? serve : ['nsenter', `--net=${network}`, '--', ...serve];
  const daemon = startDaemon(program, args, {
    // Only root enters other networks.
    root: network !== undefined,
    stdio: ['ignore', ...outputs],
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  outputs.forEach(closeSync);
  atEnd(owner, () => daemon.stop());
  const host = await waitFor('docker-registry listens', 15_000, () => {
    const log = readFileSync(ownLog, 'utf8');
    const found = /listening on (\d+\.\d+\.\d+\.\d+:\d+)/.exec(log);
    if (found !== null) return found[1];
    try {
      daemon.assertAlive();
    } catch (error) {
      throw new Error(`docker-registry did not start:\n${log}`, { cause: error });
    }
    return undefined;
  });
  let forgotten = 0;
  // A line is written when the answer is complete, which its reader may see first.
  const settledLog = async (): Promise<string> => {
    let log = readFileSync(accessLog, 'utf8');
    for (;;) {
      await sleep(30);
      const again = readFileSync(accessLog, 'utf8');
      if (again.length === log.length) return log;
      log = again;
    }
  };
  const [user, password] = Object.entries(options.users ?? {})[0] ?? [];
  const authfile = user === undefined ? undefined : join(dir, 'auth.json');
  if (authfile !== undefined) {
    const auth = Buffer.from(`${user}:${password}`).toString('base64');
    writeFileSync(authfile, JSON.stringify({ auths: { [host]: { auth } } }), { mode: 0o600 });
  }
  return {
    host,
    url: `${options.tls === true ? 'https' : 'http'}://${host}`,
    ...(certificates === undefined ? {} : { certificates }),
    storage,
    ...(authfile === undefined ? {} : { authfile }),
    requests: async () => parseAccessLog((await settledLog()).slice(forgotten)),
    forget: async () => {
      forgotten = (await settledLog()).length;
    },
    stop: () => daemon.stop(),
  };
}

/** The log is in Apache's combined format. */
function parseAccessLog(log: string): Request[] {
  const requests: Request[] = [];
  for (const line of log.split('\n')) {
    const [, method, path, status] = /"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) /.exec(line) ?? [];
    if (method !== undefined && path !== undefined)
      requests.push({ method, path, status: Number(status) });
  }
  return requests;
}

async function passwordFile(dir: string, users: Readonly<Record<string, string>>): Promise<string> {
  const lines: string[] = [];
  // The registry takes bcrypt alone.
  for (const [user, password] of Object.entries(users))
    lines.push(
      (await must('htpasswd', ['-niB', '-C', '4', user], { input: `${password}\n` })).trim(),
    );
  const file = join(dir, 'htpasswd');
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  return file;
}
