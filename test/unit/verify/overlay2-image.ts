import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chainIds } from '../../../src/data-root/containerd-store.ts';
import { overlay2Paths } from '../../../src/data-root/overlay2-store.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { digestOf, hexOf } from '../../../src/model/digest.ts';
import type { ImagePin, TargetPins } from '../../../src/model/pins.ts';

/** A small, right data image of overlay2 in the making: a test spoils one thing of it and then writes it. */
export interface Overlay2Draft {
  readonly pins: { target: TargetPins['target']; images: Record<string, ImagePin>; files: object };
  /** Bytes by path; a directory is a path that ends in a slash. */
  readonly disk: Map<string, string>;
  readonly links: Map<string, string>;
  readonly chains: Readonly<Record<string, readonly Digest[]>>;
}

export const PATHS = overlay2Paths('docker');

/** Where the driver keeps a layer, and its short name: of the chain ID, so that tests can name them. */
export function cacheIdOf(chainId: Digest): string {
  return createHash('sha256').update(`cache ${chainId}`).digest('hex');
}

export function linkOf(chainId: Digest): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const hash = createHash('sha256').update(`link ${chainId}`).digest();
  return [...hash.subarray(0, 26)].map((byte) => letters[byte % 32]).join('');
}

/** Two images on one base. */
export function draftOverlay2(): Overlay2Draft {
  const disk = new Map<string, string>();
  const links = new Map<string, string>();
  const images: Record<string, ImagePin> = {};
  const chains: Record<string, readonly Digest[]> = {};
  const repositories: Record<string, Record<string, string>> = {};
  for (const [name, tops] of Object.entries({ one: ['a', 'b'], two: ['c'] })) {
    const diffIds = ['base', ...tops].map((layer) => digestOf(`diff ${layer}`));
    const config = JSON.stringify({
      architecture: 'arm64',
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
    const blob = (text: string): ImagePin['config'] => ({
      digest: digestOf(text),
      size: text.length,
      mediaType: '',
    });
    disk.set(`${PATHS.configs}/${hexOf(digestOf(config))}`, config);
    repositories[`example.org/${name}`] = { [`example.org/${name}:1`]: digestOf(config) };
    images[name] = {
      reference: `example.org/${name}:1`,
      manifest: blob(`manifest ${name}`),
      config: blob(config),
      layers: diffIds.map((diffId) => blob(`layer ${diffId}`)),
      platform: 'linux/arm64',
      names: [`example.org/${name}:1`],
    };
    const chain = chainIds(diffIds);
    chains[name] = chain;
    chain.forEach((chainId, i) => {
      const layer = `${PATHS.layers}/${hexOf(chainId)}`;
      const parent = chain[i - 1];
      disk.set(`${layer}/diff`, diffIds[i] ?? '');
      disk.set(`${layer}/size`, '7');
      disk.set(`${layer}/cache-id`, cacheIdOf(chainId));
      disk.set(`${layer}/tar-split.json.gz`, 'gz');
      const directory = `${PATHS.driver}/${cacheIdOf(chainId)}`;
      disk.set(`${directory}/diff/`, '');
      disk.set(`${directory}/link`, linkOf(chainId));
      links.set(`${PATHS.links}/${linkOf(chainId)}`, `../${cacheIdOf(chainId)}/diff`);
      if (parent === undefined) return;
      disk.set(`${layer}/parent`, parent);
      const below = chain.slice(0, i).reverse();
      disk.set(`${directory}/lower`, below.map((id) => `l/${linkOf(id)}`).join(':'));
    });
  }
  disk.set(PATHS.repositories, JSON.stringify({ Repositories: repositories }));
  const target = { platform: 'linux/arm64', set: {} };
  return { pins: { target, images, files: {} }, disk, links, chains };
}

export function writeOverlay2(draft: Overlay2Draft): { image: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'stowage-overlay2-'));
  const image = join(directory, 'data.ext4');
  writeFileSync(image, '');
  truncateSync(image, 8 * 1024 * 1024);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', 'test-data', image]);
  // One debugfs for all of it: it gives files to root.
  const script: string[] = [];
  const made = new Set<string>();
  const parents = (path: string): void => {
    const names = path.split('/');
    for (let depth = 1; depth < names.length; depth++) {
      const parent = names.slice(0, depth).join('/');
      if (!made.has(parent)) script.push(`mkdir ${parent}`);
      made.add(parent);
    }
  };
  [...draft.disk].forEach(([path, text], i) => {
    parents(path);
    if (path.endsWith('/')) return;
    const source = join(directory, `source-${i}`);
    writeFileSync(source, text);
    script.push(`write ${source} ${path}`);
  });
  for (const [path, to] of draft.links) {
    parents(path);
    script.push(`symlink ${path} ${to}`);
  }
  execFileSync('debugfs', ['-w', '-f', '-', image], {
    input: `${script.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return {
    image,
    remove: () => {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
