import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leavesOut } from '../../../src/fetch/check-index.ts';
import { digestOf } from '../../../src/model/digest.ts';

const oci = 'application/vnd.oci.image';
const [mine, other] = [digestOf('mine'), digestOf('other')];

function index(...entries: readonly (readonly [string, string])[]): Uint8Array {
  const manifests = entries.map(([digest, mediaType]) => ({ digest, mediaType, size: 1 }));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
}

test('an index tells which manifests are its own, unless it has indexes below it', () => {
  const manifest = `${oci}.manifest.v1+json`;
  assert.equal(leavesOut(index([other, manifest], [mine, manifest]), mine), false);
  assert.equal(leavesOut(index([other, manifest]), mine), true);
  assert.equal(leavesOut(index([other, `${oci}.index.v1+json`]), mine), false);
  assert.equal(leavesOut(Buffer.from('{}'), mine), true);
});
