import { writeFileSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './process.ts';

/** PEM files for a server on loopback, from an authority made for the occasion. */
export interface Certificates {
  /** The directory that holds `ca.crt` alone: what skopeo's --cert-dir and certs.d take. */
  readonly dir: string;
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
  /** The same directory for who has to show a certificate too: `client.cert` and `client.key` beside `ca.crt`. */
  readonly clientDir: string;
}

/** `names` are host names that the server has besides. */
export async function makeCertificates(
  where: string,
  names: readonly string[] = [],
): Promise<Certificates> {
  const dir = join(where, 'trusted');
  await mkdir(dir, { recursive: true });
  const at = (name: string): string => join(where, name);
  const authority = join(dir, 'ca.crt');
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await must('openssl', [
    ...['req', '-x509', ...newKey, '-days', '7', '-subj', '/CN=Test authority'],
    ...['-keyout', at('ca.key'), '-out', authority],
  ]);
  await must('openssl', [
    ...['req', ...newKey, '-subj', '/CN=localhost'],
    ...['-keyout', at('server.key'), '-out', at('server.csr')],
  ]);
  const alternatives = ['IP:127.0.0.1', 'DNS:localhost', ...names.map((name) => `DNS:${name}`)];
  writeFileSync(at('server.ext'), `subjectAltName=${alternatives.join(',')}\n`);
  await must('openssl', [
    ...['x509', '-req', '-in', at('server.csr'), '-days', '7', '-extfile', at('server.ext')],
    ...['-CA', authority, '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('server.crt')],
  ]);
  const clientDir = at('client');
  await mkdir(clientDir);
  await copyFile(authority, join(clientDir, 'ca.crt'));
  await must('openssl', [
    ...['req', ...newKey, '-subj', '/CN=builder'],
    ...['-keyout', join(clientDir, 'client.key'), '-out', at('client.csr')],
  ]);
  await must('openssl', [
    ...[
      'x509',
      '-req',
      '-in',
      at('client.csr'),
      '-days',
      '7',
      '-out',
      join(clientDir, 'client.cert'),
    ],
    ...['-CA', authority, '-CAkey', at('ca.key'), '-CAcreateserial'],
  ]);
  return { dir, clientDir, authority, certificate: at('server.crt'), key: at('server.key') };
}
