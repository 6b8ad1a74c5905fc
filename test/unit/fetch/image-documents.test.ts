import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfigPlatform, readImageDocument } from '../../../src/fetch/image-documents.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const oci = 'application/vnd.oci.image';
const config = { mediaType: `${oci}.config.v1+json`, digest, size: 2 };
const layer = { mediaType: `${oci}.layer.v1.tar+gzip`, digest, size: 3 };
const manifest = {
  schemaVersion: 2,
  mediaType: `${oci}.manifest.v1+json`,
  config,
  layers: [layer],
};
const read = (value: unknown): ReturnType<typeof readImageDocument> =>
  readImageDocument(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

it('reads a manifest, also one that leaves its media type out', () => {
  const { mediaType, ...bare } = manifest;
  for (const given of [manifest, bare])
    assert.deepEqual(read(given), { kind: 'manifest', mediaType, config, layers: [layer] });
});

it('reads an index: platforms normalised, attestations known', () => {
  const entry = { mediaType: manifest.mediaType, digest, size: 1 };
  const document = read({
    schemaVersion: 2,
    manifests: [
      { ...entry, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      { ...entry, platform: { os: 'unknown', architecture: 'unknown' } },
      { ...entry, platform: { os: 'windows', architecture: 'amd64' } },
    ],
  });
  assert(document.kind === 'index');
  assert.deepEqual(
    document.entries.map(({ platform, stated, isAttestation }) => ({
      platform,
      stated,
      isAttestation,
    })),
    [
      { platform: { os: 'linux', arch: 'arm64' }, stated: 'linux/arm64/v8', isAttestation: false },
      { platform: undefined, stated: 'unknown/unknown', isAttestation: true },
      { platform: undefined, stated: 'windows/amd64', isAttestation: false },
    ],
  );
});

describe('calls unsupported', () => {
  for (const [what, given, detail] of [
    ['HTML', '<!DOCTYPE html><html>', /no JSON document: "<!DOCTYPE html>/],
    ['nothing', '', /no JSON/],
    ['an array', [], /no JSON document/],
    ['schema 1', { schemaVersion: 1, fsLayers: [] }, /schema 1/],
    [
      'schema 1 by its type',
      { mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      /schema 1/,
    ],
    [
      'an unknown type',
      { schemaVersion: 2, mediaType: 'application/x' },
      /media type application\/x/,
    ],
    ['a manifest without a config', { ...manifest, config: undefined }, /no descriptor/],
    [
      'a digest that is none',
      { ...manifest, layers: [{ ...layer, digest: 'sha256:1' }] },
      /no descriptor/,
    ],
    ['a negative size', { ...manifest, layers: [{ ...layer, size: -1 }] }, /no descriptor/],
    ['an artifact', { ...manifest, config: { ...config, mediaType: 'a/b' } }, /no image/],
    [
      'a foreign layer',
      { ...manifest, layers: [{ ...layer, mediaType: 'a/b' }] },
      /layer of type a\/b/,
    ],
  ] as const)
    it(what, () => {
      const document = read(given);
      assert(document.kind === 'unsupported', document.kind);
      assert.match(document.detail, detail);
    });
});

it('reads the platform of a config, and whether it states a variant', () => {
  const of = (value: unknown): unknown => readConfigPlatform(Buffer.from(JSON.stringify(value)));
  assert.deepEqual(of({ os: 'linux', architecture: 'arm' }), {
    platform: { os: 'linux', arch: 'arm', variant: 'v7' },
    stated: 'linux/arm',
    hasVariant: false,
  });
  assert.deepEqual(of({}), { platform: undefined, stated: 'nothing', hasVariant: false });
});
