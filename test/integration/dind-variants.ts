import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DindImage } from '../rig/dind-image.ts';
import { digestOf } from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** The dind image with other words about its version in its environment, or none; for `pushFrom`. */
export async function relabelled(
  owner: Owner,
  dind: DindImage,
  entry: string | undefined,
): Promise<string> {
  const dir = join(temporaryTree(owner), 'dind');
  cpSync(dind.layout, dir, { recursive: true });
  rmSync(join(dir, 'busybox'));
  const blob = (digest: string): string => join(dir, 'blobs', 'sha256', digest.slice(7));
  const put = (value: object): { digest: string; size: number } => {
    const bytes = Buffer.from(JSON.stringify(value));
    writeFileSync(blob(digestOf(bytes)), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const read = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
  const index = read(join(dir, 'index.json')) as { manifests: { digest: string; size: number }[] };
  const [described] = index.manifests;
  if (described === undefined) throw new Error('the dind image has no manifest');
  const manifest = read(blob(described.digest)) as { config: { digest: string; size: number } };
  const config = read(blob(manifest.config.digest)) as { config: { Env: string[] } };
  config.config.Env = [
    ...config.config.Env.filter((line) => !line.startsWith('DOCKER_VERSION=')),
    ...(entry === undefined ? [] : [entry]),
  ];
  Object.assign(manifest.config, put(config));
  Object.assign(described, put(manifest));
  writeFileSync(join(dir, 'index.json'), JSON.stringify(index));
  return Promise.resolve(`oci:${dir}:${dind.name}`);
}
