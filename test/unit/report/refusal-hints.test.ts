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
