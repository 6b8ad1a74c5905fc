import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exportDataRoot } from '../../../../src/load/direct/export-data-root.ts';
import type { BuildRequest } from '../../../../src/load/loader.ts';
import { makeLayer } from '../../../rig/image.ts';
import { skip } from '../../../rig/skip.ts';
import { givenImages } from './direct-image.ts';

void test('a directory is on the disk before it has its name', async (t) => {
  if (process.getuid?.() !== 0) {
    skip(t, 'root');
    return;
  }
  const { directory, store, pins } = await givenImages(t, { app: [await makeLayer({ one: '1' })] });
  const output = join(directory, 'out');
  const programs = join(directory, 'programs');
  const said = join(directory, 'said');
  mkdirSync(programs);
  writeFileSync(
    join(programs, 'sync'),
    `#!/bin/sh\necho "$@" >> ${said}\ntest -d "$2/docker" && ! test -e ${output} && /bin/sync "$@"\n`,
    { mode: 0o755 },
  );
  const before = process.env['PATH'];
  process.env['PATH'] = `${programs}:${before ?? ''}`;
  t.after(() => (process.env['PATH'] = before));
  const wanted = {
    engine: { version: '28.5.2', store: 'containerd', unpack: true },
    ...{ partition: { dataRoot: 'docker' }, files: {} },
  };
  const exported = await exportDataRoot(
    { store, pins, wanted } as unknown as BuildRequest,
    { output, format: 'dir', dryRun: false },
    { signal: new AbortController().signal, report: () => undefined },
  );
  assert.ok(exported.ok, JSON.stringify(exported));
  assert.match(readFileSync(said, 'utf8'), /^--file-system \/\S+\/root\n$/);
  assert.ok(existsSync(join(output, 'docker')));
});
