import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { planContent } from '../../../../src/load/direct/plan-content.ts';
import { givenImages } from './direct-image.ts';

/** What configs say, and what it comes to wherever this is read. */
const TIMES: readonly (readonly [string | undefined, number | undefined])[] = [
  ['2023-11-14T22:13:20Z', 1_700_000_000],
  ['2023-11-14T22:13:20.123456789Z', 1_700_000_000],
  ['2023-11-15T03:43:20+05:30', 1_700_000_000],
  ['2023-11-14T22:13:20', undefined],
  ['2023-11-14 22:13:20', undefined],
  ['14 Nov 2023 22:13:20', undefined],
  ['2023-11-14', undefined],
  ['2023-13-14T22:13:20Z', undefined],
  ['', undefined],
  [undefined, undefined],
];

function inZone(t: TestContext, zone: string): void {
  const before = process.env['TZ'];
  process.env['TZ'] = zone;
  t.after(() => {
    if (before === undefined) delete process.env['TZ'];
    else process.env['TZ'] = before;
  });
}

for (const zone of ['Asia/Tokyo', 'America/New_York'])
  void test(`when an image was made does not depend on where it is read: ${zone}`, async (t) => {
    inZone(t, zone);
    assert.notEqual(new Date(0).getTimezoneOffset(), 0);
    for (const [created, expected] of TIMES) {
      const { pins, store } = await givenImages(t, { app: [] }, created);
      const content = await planContent(pins, store);
      assert.ok(content.ok);
      assert.equal(content.value.images[0]?.created, expected, created);
    }
  });
