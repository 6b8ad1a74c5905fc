import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { whileWritingBack } from '../../../../src/load/dind/write-back.ts';
import { mountPointsOf } from '../../../../src/load/work-directory.ts';
import type { Context, Event } from '../../../../src/model/event.ts';
import { fail, ok } from '../../../../src/model/result.ts';
import { waitFor } from '../../../rig/process.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

const LOADED: Event = { type: 'loaded', image: 'one', bytes: 1, elapsed: 1 };
const context: Context = { signal: new AbortController().signal, report: () => undefined };

/** A work directory, and a `sync` that notes what it is asked for and then does `what`. */
function scene(t: TestContext, what: string) {
  const directory = temporaryTree(t);
  const image = join(directory, 'data.ext4');
  writeFileSync(image, 'content');
  const asked = join(directory, 'asked');
  const sync = join(directory, 'sync');
  writeFileSync(sync, `#!/bin/sh\necho "$*" >>'${asked}'\n${what}\n`);
  chmodSync(sync, 0o755);
  const path = process.env['PATH'] ?? '';
  process.env['PATH'] = `${directory}:${path}`;
  t.after(() => {
    process.env['PATH'] = path;
  });
  const askedFor = (): Promise<true> =>
    waitFor('the first sync', 5000, () => Promise.resolve(existsSync(asked) ? true : undefined));
  return { work: { directory, image }, asked, askedFor };
}

test('what was loaded is written from the mounted image on, as often as it is of use', async (t) => {
  const { work, asked, askedFor } = scene(t, 'sleep 0.2');
  const done = await whileWritingBack(work, context, async ({ report }) => {
    report(LOADED);
    await askedFor();
    // While one is at work: once more for all of them.
    for (let i = 0; i < 5; i += 1) report(LOADED);
    await new Promise((resolve) => setTimeout(resolve, 600));
    return ok();
  });
  assert.deepEqual(done, ok());
  const line = `--file-system ${mountPointsOf(work.directory).image}\n`;
  assert.equal(readFileSync(asked, 'utf8'), line.repeat(2));
});

test('that the disk could not write is what loading ends with', async (t) => {
  const said = 'sync: error syncing: Input/output error';
  const { work, askedFor } = scene(t, `echo '${said}' >&2; exit 1`);
  const done = await whileWritingBack(work, context, async ({ report }) => {
    report(LOADED);
    await askedFor();
    return ok();
  });
  assert.ok(!done.ok && done.failure.reason === 'tool-failed', JSON.stringify(done));
  assert.match(done.failure.detail, /Input\/output error/);
});

test('a sync that knows no such option costs time alone', async (t) => {
  const { work, askedFor } = scene(t, 'echo "sync: unrecognized option" >&2; exit 1');
  const done = await whileWritingBack(work, context, async ({ report }) => {
    report(LOADED);
    await askedFor();
    return ok();
  });
  assert.deepEqual(done, ok());
});

test('nothing is waited for where loading failed', async (t) => {
  const { work, askedFor } = scene(t, 'exec sleep 600');
  const failed = fail({ reason: 'load-incomplete', image: 'one', detail: 'no' } as const);
  const done = await whileWritingBack(work, context, async ({ report }) => {
    report(LOADED);
    await askedFor();
    return failed;
  });
  assert.deepEqual(done, failed);
});
