import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withPartition } from '../../../src/cli/partition-options.ts';
import type { Partition } from '../../../src/model/bundle.ts';
import type { Wanted } from '../../../src/plan/wanted.ts';

const partition: Partition = {
  label: 'data',
  size: 'auto',
  headroom: { percent: 10 },
  dataRoot: 'docker',
};
// All that the options look at.
const wanted = {
  partition,
  files: { 'etc/motd': { kind: 'content', mode: '0644', content: new Uint8Array() } },
} as unknown as Wanted;

function expected(dataRoot: string): string {
  const result = withPartition(wanted, { 'data-root': dataRoot });
  assert.ok(!result.ok, `${dataRoot} was taken`);
  assert.equal(result.failure.reason, 'invalid-option');
  assert.equal(result.failure.option, '--data-root');
  return result.failure.expected;
}

test("--data-root goes before the bundle's, and the rest stays", () => {
  const result = withPartition(wanted, { 'data-root': 'var/lib/docker' });
  assert.ok(result.ok);
  assert.deepEqual(result.value.partition, { ...partition, dataRoot: 'var/lib/docker' });
  assert.equal(withPartition(wanted, {}).ok && partition.dataRoot, 'docker');
});

test('--data-root is held to what a bundle may say', () => {
  const place = "a directory from the partition's root: ";
  assert.equal(
    expected('/docker'),
    `${place}"/docker" is absolute; paths begin at the partition's root, without /`,
  );
  assert.equal(expected('a/../b'), `${place}"a/../b" has .. in it`);
  assert.equal(expected('etc'), `${place}"etc/motd" is in the engine's data root, etc`);
  assert.equal(
    expected('etc/motd/docker'),
    `${place}"etc/motd" is where the data root etc/motd/docker must be`,
  );
});
