import { join } from 'node:path';
import { writeDirectory, type Content } from './image.ts';
import { programOwner } from './owner.ts';
import { must } from './process.ts';
import type { Registry } from './registry.ts';
import { temporaryTree } from './temporary-tree.ts';

/** Publishes content with the real skopeo, byte for byte; `name` is `library/alpine:3`. */
export async function push(registry: Registry, name: string, content: Content): Promise<void> {
  const owner = programOwner();
  try {
    const directory = join(temporaryTree(owner), 'image');
    await writeDirectory(directory, content);
    await pushFrom(registry, name, `dir:${directory}`);
  } finally {
    await owner.end();
  }
}

/** Publishes from any place in skopeo's words, such as `oci:DIR:NAME`. */
export async function pushFrom(registry: Registry, name: string, source: string): Promise<void> {
  await must(
    'skopeo',
    [
      ...['--insecure-policy', 'copy', '--quiet', '--all', '--preserve-digests'],
      ...(registry.certificates === undefined
        ? ['--dest-tls-verify=false']
        : ['--dest-cert-dir', registry.certificates.dir]),
      ...(registry.authfile === undefined ? [] : ['--authfile', registry.authfile]),
      ...[source, `docker://${registry.host}/${name}`],
    ],
    { deadline: 300_000 },
  );
}

/** Puts any bytes in a manifest's place, also such as no tool would publish. Plain http registries only. */
export async function putManifest(
  registry: Registry,
  name: string,
  mediaType: string,
  bytes: Uint8Array | string,
): Promise<void> {
  const colon = name.lastIndexOf(':');
  const url = `${registry.url}/v2/${name.slice(0, colon)}/manifests/${name.slice(colon + 1)}`;
  const headers = { 'Content-Type': mediaType };
  const answer = await fetch(url, { method: 'PUT', headers, body: Buffer.from(bytes) });
  if (!answer.ok) throw new Error(`PUT ${url}: ${answer.status} ${await answer.text()}`);
}
