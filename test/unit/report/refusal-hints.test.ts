import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeFailure } from '../../../src/report/describe-failure.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

for (const [name, detail, hint] of [
  ['a tag', 'reading manifest 2.1 in host/app: manifest unknown', /check name and tag/],
  ['a pinned digest', `reading manifest ${DIGEST} in host/app: manifest unknown`, /pin again/],
] as const)
  test(`what is to be done where a registry lacks ${name}`, () => {
    const what = 'app (host/app)';
    const said = describeFailure({ reason: 'registry-refused', what, why: 'not-found', detail });
    assert.match(said.hint ?? '', hint);
  });

const MIB = 1024 * 1024;

for (const [name, bytes, message, hint] of [
  [
    'a partition',
    { needed: 46 * MIB, available: 1.5 * MIB, fits: 46 * MIB },
    'no space left in x: 46M are needed, 1.5M there are',
    'give a larger --size (46M should do), or --size auto',
  ],
  [
    'an image of any size',
    { needed: 12 * MIB + 4096, available: 8 * MIB, fits: 12 * MIB + 4096 },
    'no space left in x: 12.1M are needed, 8M there are',
    'give a larger --size (12.1M should do), or --size auto',
  ],
  [
    'a disk',
    { needed: 46 * MIB, available: MIB },
    'no space left in x: 48.2 MB are needed, 1.0 MB there are',
    'make room there and run again; what was downloaded is kept',
  ],
] as const)
  test(`what is lacking in ${name} is told in its own unit`, () => {
    assert.deepEqual(describeFailure({ reason: 'no-space', where: 'x', ...bytes }), {
      message,
      hint,
    });
  });
