import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { readRpmPackages } from '../../../src/packages/rpm-packages.ts';

const DATABASE = gunzipSync(readFileSync(join(import.meta.dirname, 'fixtures', 'rpmdb.sqlite.gz')));

void describe('readRpmPackages', () => {
  void it('reads what rpm has written', () => {
    assert.deepEqual(
      readRpmPackages(DATABASE)?.map(({ key, version }) => [key, version]),
      [
        ['alpha.noarch', '1.0-3'],
        ['beta.noarch', '4:1.2-3'],
      ],
    );
  });

  void it('takes anything else for unreadable', () => {
    assert.equal(readRpmPackages(Buffer.alloc(0)), undefined);
    assert.equal(readRpmPackages(Buffer.from('something else')), undefined);
    assert.equal(readRpmPackages(DATABASE.subarray(0, 20_000)), undefined);
  });

  void it('survives any damage', () => {
    // Reproducible, and prime to the sizes of everything in it.
    for (let at = 0, round = 0; at < DATABASE.length; at += 397, round++) {
      const damaged = Buffer.from(DATABASE);
      damaged[at] = (damaged[at] ?? 0) ^ (1 + (round % 255));
      const packages = readRpmPackages(damaged);
      assert.ok(packages === undefined || packages.length <= 1000);
    }
  });
});
