import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeLayout } from '../../rig/image.ts';
import { must } from '../../rig/process.ts';
import type { Sample } from './samples.ts';

/**
 * What `docker load` of every engine and store takes: an OCI layout, and beside it the manifest.json of docker's own
 * archives. Written here and not with what the loaders have, since it makes the images that they are compared with.
 */
export async function writeArchive(dir: string, sample: Sample): Promise<string> {
  const { image, names } = sample;
  const layout = join(dir, sample.name);
  mkdirSync(layout, { recursive: true });
  await writeLayout(layout, image, names[0]);
  const manifest = JSON.parse(
    Buffer.from(image.blobs.get(image.descriptor.digest) ?? '').toString('utf8'),
  ) as { readonly layers: readonly { readonly digest: string }[] };
  const at = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
  const json = (name: string, value: unknown): void => {
    writeFileSync(join(layout, name), JSON.stringify(value));
  };
  json('index.json', {
    schemaVersion: 2,
    manifests: names.map((name) => ({
      ...image.descriptor,
      annotations: {
        'org.opencontainers.image.ref.name': name,
        'io.containerd.image.name': name,
      },
    })),
  });
  json('manifest.json', [
    {
      Config: at(image.config.digest),
      RepoTags: names,
      Layers: manifest.layers.map(({ digest }) => at(digest)),
    },
  ]);
  const file = join(dir, `${sample.name}.tar`);
  const members = ['oci-layout', 'index.json', 'manifest.json', 'blobs'];
  await must('tar', ['-C', layout, '--sort=name', '-cf', file, ...members]);
  return file;
}
