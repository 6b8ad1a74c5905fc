import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../../../src/model/event.ts';
import type { Image } from '../../rig/image.ts';
import { makeImage, makeLayer, writeLayout } from '../../rig/image.ts';

export function quiet(): Context {
  return { report: () => undefined, signal: new AbortController().signal };
}

export function scratch(): { readonly dir: string; readonly remove: () => void } {
  const dir = mkdtempSync(join(tmpdir(), 'stowage-inspect-'));
  return {
    dir,
    remove: () => {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A base and one layer more. */
export async function sampleImage(top = 'one', platform = 'linux/arm64'): Promise<Image> {
  const base = await makeLayer({ 'etc/': { type: 'directory' }, 'etc/base': 'the base' });
  return makeImage({
    platform,
    layers: [base, { [`app/${top}`]: { content: top, mode: 0o755 } }],
    config: { Cmd: [`/app/${top}`] },
  });
}

/** The layout as one tar, as `skopeo copy … oci-archive:` makes it. */
export async function writeOciArchive(
  dir: string,
  image: Image,
  name: string,
): Promise<{ readonly layout: string; readonly archive: string }> {
  const layout = join(dir, `layout-${name.replace(/\W/g, '-')}`);
  await writeLayout(layout, image, name);
  const archive = `${layout}.tar`;
  execFileSync('tar', ['-C', layout, '-cf', archive, '.']);
  return { layout, archive };
}

/** As `docker save` wrote it before Docker 25: plain layers, the second one as a link where `linked`. */
export function writeDockerArchive(dir: string, linked = false): string {
  const tree = join(dir, 'save');
  const layers = ['a', 'b'].map((name) => {
    mkdirSync(join(tree, name), { recursive: true });
    const source = join(dir, `source-${name}`);
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, name), name);
    execFileSync('tar', ['-C', source, '-cf', join(tree, name, 'layer.tar'), name]);
    return join(tree, name, 'layer.tar');
  });
  if (linked) {
    mkdirSync(join(tree, 'c'));
    execFileSync('ln', ['-s', '../b/layer.tar', join(tree, 'c', 'layer.tar')]);
  }
  const diffIds = layers.map(
    (file) => `sha256:${execFileSync('sha256sum', [file], { encoding: 'utf8' }).slice(0, 64)}`,
  );
  const config = { os: 'linux', architecture: 'amd64', rootfs: { diff_ids: diffIds } };
  writeFileSync(join(tree, 'config.json'), JSON.stringify(config));
  const list = [
    {
      Config: 'config.json',
      RepoTags: ['app:1', 'app:latest'],
      Layers: ['a/layer.tar', linked ? 'c/layer.tar' : 'b/layer.tar'],
    },
  ];
  writeFileSync(join(tree, 'manifest.json'), JSON.stringify(list));
  const archive = join(dir, 'save.tar');
  execFileSync('tar', [
    '-C',
    tree,
    '-cf',
    archive,
    ...(linked ? ['c'] : []),
    'a',
    'b',
    'config.json',
    'manifest.json',
  ]);
  return archive;
}
