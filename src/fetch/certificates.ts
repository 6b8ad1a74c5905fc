import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { Certificates } from '../tools/http.ts';

/**
 * A directory in the form of /etc/containers/certs.d (containers-certs.d(5)): for each `HOST[:PORT]` a directory with
 * authorities, `*.crt`, and a client's `*.cert` and `*.key`. Such files in the directory itself are for every other host.
 */
export async function certificatesFor(
  host: string,
  directory: string | undefined,
): Promise<{ readonly directory: string; readonly forHostAlone: boolean } | undefined> {
  if (directory === undefined) return undefined;
  const own = join(directory, host);
  if ((await certificateFiles(own)).length > 0) return { directory: own, forHostAlone: true };
  return (await certificateFiles(directory)).length > 0
    ? { directory, forHostAlone: false }
    : undefined;
}

/** The same for our own https; undefined where there is none, or none that may be read. */
export async function readCertificates(
  host: string,
  directory: string | undefined,
): Promise<Certificates | undefined> {
  const found = await certificatesFor(host, directory);
  if (found === undefined) return undefined;
  const names = await certificateFiles(found.directory);
  const read = async (suffix: string): Promise<string[]> =>
    Promise.all(
      names
        .filter((name) => name.endsWith(suffix))
        .map((name) => readFile(join(found.directory, name), 'utf8')),
    );
  const [authorities, [cert], [key]] = [
    await read('.crt'),
    await read('.cert'),
    await read('.key'),
  ];
  return {
    // Besides those that everybody trusts, not instead of them.
    ...(authorities.length === 0 ? {} : { ca: [...rootCertificates, ...authorities] }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

async function certificateFiles(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => /\.(?:crt|cert|key)$/.test(name)).sort();
}
