import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isAttestation,
  isConfigType,
  isForeignLayerType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
} from '../../../src/model/media-types.ts';

const OCI = 'application/vnd.oci.image.';
const DOCKER = 'application/vnd.docker.';

test('tells documents apart', () => {
  const kinds: readonly (readonly [(type: string) => boolean, readonly string[]])[] = [
    [isIndexType, [`${OCI}index.v1+json`, `${DOCKER}distribution.manifest.list.v2+json`]],
    [isManifestType, [`${OCI}manifest.v1+json`, `${DOCKER}distribution.manifest.v2+json`]],
    [isConfigType, [`${OCI}config.v1+json`, `${DOCKER}container.image.v1+json`]],
    [
      isSchema1Type,
      [`${DOCKER}distribution.manifest.v1+json`, `${DOCKER}distribution.manifest.v1+prettyjws`],
    ],
  ];
  const all = kinds.flatMap(([, types]) => types);
  for (const [isKind, types] of kinds) assert.deepEqual(all.filter(isKind), types);
});

test('knows how layers are packed, and which can not be baked in', () => {
  assert.equal(layerCompression(`${OCI}layer.v1.tar`), 'none');
  assert.equal(layerCompression(`${OCI}layer.v1.tar+gzip`), 'gzip');
  assert.equal(layerCompression(`${OCI}layer.v1.tar+zstd`), 'zstd');
  assert.equal(layerCompression(`${DOCKER}image.rootfs.diff.tar.gzip`), 'gzip');
  for (const foreign of [
    `${DOCKER}image.rootfs.foreign.diff.tar.gzip`,
    `${OCI}layer.nondistributable.v1.tar+zstd`,
  ]) {
    assert.equal(layerCompression(foreign), undefined);
    assert.ok(isForeignLayerType(foreign));
  }
  assert.equal(layerCompression(`${OCI}layer.v1.tar+gzip+encrypted`), undefined);
  assert.ok(!isForeignLayerType(`${OCI}layer.v1.tar+gzip`));
});

test('an attestation is no image', () => {
  assert.ok(isAttestation({ platform: { os: 'unknown', architecture: 'unknown' } }));
  assert.ok(
    isAttestation({ annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }),
  );
  assert.ok(!isAttestation({ platform: { os: 'linux', architecture: 'arm64' } }));
  assert.ok(!isAttestation({}));
});
