import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readContainerdStore } from '../../src/data-root/containerd-store.ts';
import { mountLoop } from '../rig/loop-mount.ts';
import type { Owner } from '../rig/owner.ts';
import { mustAsRoot } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import type { EngineStore } from './engine-fixture.ts';

/**
 * All that a data image holds, in lines that do not depend on who built it: names and digests, blobs, and of each
 * unpacked layer every entry with type, mode, owner, size, attributes, link target and content. What engines number
 * or call at random is replaced by the layer's chain ID.
 */
export async function contentOf(
  owner: Owner,
  image: string,
  store: EngineStore,
): Promise<readonly string[]> {
  const point = join(temporaryTree(owner), 'mnt');
  mkdirSync(point);
  const unmount = await mountLoop(owner, image, point, ['ro', 'noload']);
  const root = join(point, 'docker');
  const lines = store === 'containerd' ? await containerd(root) : await overlay2(root);
  lines.push(...(await treeOf('/', point, ['docker', 'lost+found'])));
  await unmount();
  return lines.sort();
}

async function containerd(root: string): Promise<string[]> {
  const at = join(root, 'containerd', 'daemon');
  const content = join(at, 'io.containerd.content.v1.content', 'blobs', 'sha256');
  const snapshotter = join(at, 'io.containerd.snapshotter.v1.overlayfs');
  const read = readContainerdStore(
    readFileSync(join(at, 'io.containerd.metadata.v1.bolt', 'meta.db')),
    readFileSync(join(snapshotter, 'metadata.db')),
  );
  if (!read.ok) throw new Error(read.failure.detail);
  const { images, blobs, snapshots, records } = read.value;
  const lines = [...images].map(([name, image]) => `name ${name} ${JSON.stringify(image.target)}`);
  for (const [digest, { size, labels }] of blobs)
    // An archive's own index stays or goes as the garbage collector likes.
    if (Object.keys(labels).length > 0 || !(await isIndex(join(content, digest.slice(7)))))
      lines.push(`blob ${digest} ${size} ${JSON.stringify(Object.entries(labels).sort())}`);
  for (const [chainId, snapshot] of snapshots) {
    const id = records.get(snapshot.record)?.id ?? 0;
    lines.push(`snapshot ${chainId} on ${snapshot.parent ?? 'nothing'}`);
    lines.push(...(await treeOf(chainId, join(snapshotter, 'snapshots', `${id}`, 'fs'))));
  }
  return lines;
}

function isIndex(file: string): Promise<boolean> {
  const text = readFileSync(file);
  return Promise.resolve(text[0] === 0x7b && text.includes('"manifests"'));
}

async function overlay2(root: string): Promise<string[]> {
  const image = join(root, 'image', 'overlay2');
  const names = readFileSync(join(image, 'repositories.json'), 'utf8');
  const lines = [`names ${names}`];
  lines.push(...(await treeOf('configs', join(image, 'imagedb'))).map(withoutTime));
  const layers = join(image, 'layerdb', 'sha256');
  for (const chainId of (await mustAsRoot('ls', [layers])).split('\n').filter(Boolean)) {
    const cacheId = readFileSync(join(layers, chainId, 'cache-id'), 'utf8');
    for (const line of await treeOf(chainId, join(layers, chainId)))
      if (!line.includes('/cache-id ')) lines.push(withoutTime(line));
    lines.push(...(await treeOf(chainId, join(root, 'overlay2', cacheId, 'diff'))));
  }
  return lines;
}

/** The engine's own files have the time at which it wrote them. */
function withoutTime(line: string): string {
  return line.replace(/ \d{10}\.\d+ /, ' ');
}

/** Each entry of a tree on a line; directories' sizes and all times but those of files are the file system's own. */
async function treeOf(
  label: string,
  directory: string,
  without: readonly string[] = [],
): Promise<string[]> {
  const prune = without.flatMap((name) => ['-path', `./${name}`, '-prune', '-o']);
  const listed = await mustAsRoot('sh', [
    '-c',
    `cd "$0" && find . "$@" -printf '%p %y %m %U:%G %l ' \\( -type f -printf '%s %T@ ' -exec sha256sum -b {} \\; -o -printf '\\n' \\)`,
    directory,
    ...prune,
  ]);
  const attributes = await mustAsRoot('sh', [
    '-c',
    'cd "$0" && getfattr -R -h -d -m - -e hex . 2>/dev/null | grep -v "^$" || :',
    directory,
  ]);
  return `${listed}\n${attributes}`
    .split('\n')
    .filter(Boolean)
    .map((line) => `${label} ${line}`);
}
