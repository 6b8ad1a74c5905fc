import { copyFile, link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dindBlobs, type DindImage } from './dind-image.ts';
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

/**
 * Publishes the engine's image, by default as `library/docker:VERSION-dind`. Its blobs are put into the registry's storage
 * as the registry does it, so that skopeo finds them there and need not send them: many files of tests want that image.
 */
export async function pushDind(
  registry: Registry,
  dind: DindImage,
  name = `library/docker:${dind.version}-dind`,
): Promise<void> {
  const top = join(registry.storage, 'docker', 'registry', 'v2');
  const repository = join(top, 'repositories', name.slice(0, name.lastIndexOf(':')));
  for (const { file, hex } of dindBlobs(dind)) {
    const blob = join(top, 'blobs', 'sha256', hex.slice(0, 2), hex);
    await mkdir(blob, { recursive: true });
    const data = join(blob, 'data');
    // It lies elsewhere where /tmp is a file system of its own.
    await link(file, data).catch(() => copyFile(file, data));
    const known = join(repository, '_layers', 'sha256', hex);
    await mkdir(known, { recursive: true });
    await writeFile(join(known, 'link'), `sha256:${hex}`);
  }
  await pushFrom(registry, name, `oci:${dind.layout}:${dind.name}`);
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
