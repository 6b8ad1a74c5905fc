import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './process.ts';

/** PEM files for a server on loopback, from an authority made for the occasion. */
export interface Certificates {
  /** The directory that holds `ca.crt` alone: what skopeo's --cert-dir and certs.d take. */
  readonly dir: string;
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export async function makeCertificates(where: string): Promise<Certificates> {
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
  writeFileSync(at('server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  await must('openssl', [
    ...['x509', '-req', '-in', at('server.csr'), '-days', '7', '-extfile', at('server.ext')],
    ...['-CA', authority, '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('server.crt')],
  ]);
  return { dir, authority, certificate: at('server.crt'), key: at('server.key') };
}
