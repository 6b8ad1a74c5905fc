import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkEngine } from '../../../../src/load/direct/plan-data-root.ts';
import type { BuildRequest } from '../../../../src/load/loader.ts';
import type { Event } from '../../../../src/model/event.ts';

void test('who keeps images packed hears how much the device will want for them', () => {
  const events: Event[] = [];
  const request = {
    wanted: { engine: { version: '28.5.2', store: 'containerd', unpack: false } },
    ...{ pins: { images: {} }, content: { unpacked: { likely: 123.4 * 1024 * 1024 } } },
  } as unknown as BuildRequest;
  const checked = checkEngine(request, {
    signal: new AbortController().signal,
    report: (event) => void events.push(event),
  });
  assert.ok(checked.ok);
  const [warning] = events;
  assert.ok(events.length === 1 && warning?.type === 'warning');
  assert.match(warning.detail, /takes about 124 MiB more of the partition/);
});
