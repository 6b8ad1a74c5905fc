import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chainIds } from '../../../src/data-root/containerd-store.ts';
import {
  isCacheId,
  isLink,
  overlay2Paths,
  readRepositories,
} from '../../../src/data-root/overlay2-store.ts';
import { overlay2Items, overlay2LayerRoot } from '../../../src/data-root/overlay2-writer.ts';
import type { StorageItem } from '../../../src/data-root/storage-item.ts';
import { digestOf, hexOf } from '../../../src/model/digest.ts';

const diffIds = ['base', 'middle', 'top'].map((name) => digestOf(name));
const chain = chainIds(diffIds);
const [base, middle, top] = [chain[0] ?? '', chain[1] ?? '', chain[2] ?? ''] as typeof chain;
assert.ok(base && middle && top);
const config = Buffer.from('{"rootfs":{}}');
const content = {
  images: [
    { config, names: ['docker.io/library/x:1', 'docker.io/y/z:2', 'ghcr.io/y/z:2'] },
    {
      config: Buffer.from('{}'),
      names: ['docker.io/library/x:0', 'docker.io/library/library/a:3'],
    },
    { config, names: [] },
  ],
  layers: chain.map((chainId, i) => ({
    chainId,
    diffId: diffIds[i] ?? chainId,
    size: 1013 * i,
    tarSplit: Buffer.from(`split ${i}`),
    ...(i === 0 ? {} : { parent: chain[i - 1] ?? chainId }),
  })),
};
const items = overlay2Items('docker', content);
const byPath = new Map(items.map((item) => [item.path, item]));
const paths = overlay2Paths('docker');

function text(path: string): string | undefined {
  const item = byPath.get(path);
  return item?.type === 'file' ? Buffer.from(item.bytes).toString('utf8') : undefined;
}

/** Paths with what is made up of the chain IDs taken out. */
function listing(list: readonly StorageItem[]): string[] {
  const general = (path: string): string =>
    path.replace(/[0-9a-f]{64}/g, 'ID').replace(/[A-Z2-7]{26}/g, 'LINK');
  const lines = list.map((item) =>
    item.type === 'symlink'
      ? `${general(item.path)} -> ${general(item.target)}`
      : `${item.mode.toString(8)} ${general(item.path)}${item.type === 'directory' ? '/' : ''}`,
  );
  return [...new Set(lines)].sort();
}

/** Of a layer's own directory. */
const own = (name: string): string => `docker/overlay2/ID/${name}`;

describe('overlay2Items', () => {
  it('is, with its modes, what dockerd leaves after a load', () => {
    assert.deepEqual(listing(items), [
      '600 docker/image/overlay2/imagedb/content/sha256/ID',
      '600 docker/image/overlay2/repositories.json',
      `600 ${own('committed')}`,
      '644 docker/image/overlay2/layerdb/sha256/ID/cache-id',
      '644 docker/image/overlay2/layerdb/sha256/ID/diff',
      '644 docker/image/overlay2/layerdb/sha256/ID/parent',
      '644 docker/image/overlay2/layerdb/sha256/ID/size',
      '644 docker/image/overlay2/layerdb/sha256/ID/tar-split.json.gz',
      `644 ${own('link')}`,
      `644 ${own('lower')}`,
      '700 docker/image/',
      '700 docker/image/overlay2/',
      '700 docker/image/overlay2/imagedb/',
      '700 docker/image/overlay2/imagedb/content/',
      '700 docker/image/overlay2/imagedb/content/sha256/',
      '700 docker/image/overlay2/imagedb/metadata/',
      '700 docker/image/overlay2/imagedb/metadata/sha256/',
      '700 docker/image/overlay2/layerdb/',
      '700 docker/image/overlay2/layerdb/sha256/ID/',
      `700 ${own('work/')}`,
      '700 docker/overlay2/l/',
      '710 docker/',
      '710 docker/overlay2/',
      '710 docker/overlay2/ID/',
      '755 docker/image/overlay2/layerdb/sha256/',
      `755 ${own('diff/')}`,
      'docker/overlay2/l/LINK -> ../ID/diff',
    ]);
  });

  it('gives parents before what is in them, and each path once', () => {
    const seen = new Set<string>();
    for (const { path } of overlay2Items('var/lib/docker', content)) {
      const parent = path.split('/').slice(0, -1).join('/');
      assert.ok(parent === '' || seen.has(parent), path);
      assert.ok(!seen.has(path), path);
      seen.add(path);
    }
  });

  it('records a layer as the engine does', () => {
    const at = `${paths.layers}/${hexOf(top)}`;
    assert.equal(text(`${at}/diff`), diffIds[2]);
    assert.equal(text(`${at}/parent`), middle);
    assert.equal(text(`${at}/size`), '2026');
    assert.equal(text(`${at}/tar-split.json.gz`), 'split 2');
    const cacheId = text(`${at}/cache-id`) ?? '';
    assert.ok(isCacheId(cacheId));
    assert.equal(overlay2LayerRoot('docker', top), `${paths.driver}/${cacheId}/diff`);
    assert.ok(byPath.has(overlay2LayerRoot('docker', top)));
    assert.equal(text(`${paths.layers}/${hexOf(base)}/parent`), undefined);
  });

  it('puts a layer on those below it, the nearest first', () => {
    const file = (chainId: typeof top, name: string): string | undefined =>
      text(overlay2LayerRoot('docker', chainId).replace(/diff$/, name));
    const links = [middle, base].map((id) => file(id, 'link') ?? '');
    assert.ok(links.every(isLink));
    assert.equal(file(top, 'lower'), links.map((link) => `l/${link}`).join(':'));
    assert.equal(file(base, 'lower'), undefined);
    assert.equal(file(top, 'committed'), undefined, 'nothing is on it');
    assert.equal(file(middle, 'committed'), '');
    const link = byPath.get(`${paths.links}/${file(top, 'link') ?? ''}`);
    const root = overlay2LayerRoot('docker', top).replace(`${paths.driver}/`, '../');
    assert.deepEqual(link?.type === 'symlink' && link.target, root);
  });

  it('names images as users do, and keeps their configs byte for byte', () => {
    const [one, other] = [digestOf(config), digestOf('{}')];
    assert.equal(
      text(paths.repositories),
      JSON.stringify({
        Repositories: {
          'ghcr.io/y/z': { 'ghcr.io/y/z:2': one },
          'library/library/a': { 'library/library/a:3': other },
          x: { 'x:0': other, 'x:1': one },
          'y/z': { 'y/z:2': one },
        },
      }),
    );
    const read = readRepositories(text(paths.repositories) ?? '');
    assert.ok(read.ok);
    assert.equal(read.value.get('docker.io/library/x:1'), one);
    assert.equal(text(`${paths.configs}/${hexOf(one)}`), '{"rootfs":{}}');
    assert.equal(text(`${paths.configs}/${hexOf(other)}`), '{}');
  });

  it('throws on a layer whose parent is not there', () => {
    assert.throws(
      () => overlay2Items('docker', { ...content, layers: content.layers.slice(1) }),
      /is not there/,
    );
  });
});
