import assert from 'node:assert/strict';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { dataImageContent } from '../rig/data-image-content.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { must } from '../rig/process.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { copyResult, stampOf, startReuse, type Variant } from './reuse-fixture.ts';

/** What a build makes of an earlier one's result is what it makes from scratch. */
const owner = fileOwner();
const reuse = await startReuse(owner);
const first = join(temporaryTree(owner), 'data.ext4');
let inputs: readonly string[] = [];
/** Nothing that needs an engine can be done with it. */
const NO_ENGINE = { env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' } };

test('nothing changed, nothing done', async (t) => {
  inputs = await reuse.variant(t);
  const args = [...inputs, '-o', first, '--no-share'];
  const built = await reuse.build(t, args);
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /from scratch: there is no earlier result/);
  const before = [stampOf(first), stampOf(documentOf(first))];
  const text = readFileSync(documentOf(first), 'utf8');
  // Each of these would be a build if it counted.
  const same = [
    args,
    [...args, '--privileged'],
    [...args, '-n'],
    // The store is looked at for what is used alone.
  ];
  for (const again of same) {
    const done = await reuse.build(t, again, NO_ENGINE);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /nothing changed: 4 images/);
    assert.equal(done.stderr, '');
  }
  assert.deepEqual([stampOf(first), stampOf(documentOf(first))], before);
  // Another build of the same says the same.
  const other = join(temporaryTree(t), 'data.ext4');
  const rebuilt = await reuse.build(t, [...inputs, '-o', other, '--no-share', '--from-scratch']);
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  assert.equal(readFileSync(documentOf(other), 'utf8'), text);
});

interface Case {
  readonly name: string;
  readonly variant?: Variant;
  readonly options?: readonly string[];
  readonly said: RegExp;
  /** False where the engine has nothing to do. */
  readonly engine: boolean;
}

const CASES: readonly Case[] = [
  {
    name: 'one image changed',
    variant: { images: { dns: '2' } },
    said: /^stowage: 1 of 4 images changed: dns$/m,
    engine: true,
  },
  {
    name: 'one image removed',
    variant: { images: { dns: undefined } },
    said: /^stowage: 1 image removed: dns$/m,
    engine: true,
  },
  {
    name: 'one image added',
    variant: { images: { extra: '1' } },
    said: /^stowage: 1 of 5 images added: extra$/m,
    engine: true,
  },
  {
    name: 'tags alone',
    variant: { tags: { dns: ['reuse/other:a'], cli: ['reuse/other:b'] } },
    said: /^stowage: 2 of 4 images tagged anew: cli, dns$/m,
    engine: true,
  },
  {
    name: 'files alone',
    variant: { files: { settings: 'new', 'etc/other': 'new' } },
    said: /^stowage: 3 files changed: etc\/deep\/greeting, etc\/other, settings$/m,
    engine: false,
  },
  {
    name: 'the label alone',
    options: ['--label', 'other'],
    said: /^stowage: another label$/m,
    engine: false,
  },
  {
    name: 'something of everything',
    variant: {
      images: { dns: '2', cli: undefined },
      tags: { app: ['reuse/cli:now'] },
      files: { etc: 'a file now' },
    },
    options: ['--label', 'all'],
    said: /^stowage: 1 of 3 images changed: dns; 1 image removed: cli; 1 of 3 images tagged anew: app; 3 files changed: etc, etc\/deep\/greeting, settings; another label$/m,
    engine: true,
  },
];

for (const { name, variant, options = [], said, engine } of CASES)
  test(`${name}: only that is done, and the outcome is that of a build from scratch`, async (t) => {
    const output = await copyResult(t, first);
    const changed = await reuse.variant(t, variant);
    const args = [...changed, ...options, '--no-share'];
    const watched = { engine: reuse.engine, stores: [reuse.store], outputs: [dirname(output)] };
    const before = await machineState(watched);
    const planned = await reuse.build(t, [...args, '-o', output, '-n']);
    assert.equal(planned.code, 0, planned.stderr);
    assert.match(planned.stdout, new RegExp(said.source.slice('^stowage: '.length), 'm'));
    const updated = await reuse.build(t, [...args, '-o', output], engine ? {} : NO_ENGINE);
    assert.equal(updated.code, 0, updated.stderr);
    assert.match(updated.stderr, said);
    assert.equal(/start engine/.test(updated.stderr), engine);
    await assertNothingLeft(before, watched);
    const scratch = join(temporaryTree(t), 'data.ext4');
    const built = await reuse.build(t, [...args, '-o', scratch, '--from-scratch']);
    assert.equal(built.code, 0, built.stderr);
    assert.deepEqual(await dataImageContent(t, output), await dataImageContent(t, scratch));
    const documents = [output, scratch].map(readDocument);
    assert.deepEqual(documents[0]?.pins, documents[1]?.pins);
    assert.equal(documents[0]?.fingerprint, documents[1]?.fingerprint);
    await must('e2fsck', ['-fn', output]);
    // What was removed takes no space on the builder either.
    const [used, usedThere] = [output, scratch].map((path) => statSync(path).blocks * 512);
    assert.ok((used ?? 0) < (usedThere ?? 0) + 4_000_000, `${used} ${usedThere}`);
    const again = await reuse.build(t, [...args, '-o', output], NO_ENGINE);
    assert.match(again.stdout, /nothing changed/, again.stderr);
  });

test('what is only said otherwise changes data.json and not the image', async (t) => {
  const output = await copyResult(t, first);
  const [, bundle = '', , pins = ''] = inputs;
  const edited = join(temporaryTree(t), 'pins.json');
  const renamed = join(dirname(edited), 'bundle.yaml');
  // The image app is called main in the bundle: nobody sees that on the device.
  const rename = (text: string): string => text.replace('"app":', '"main":');
  writeFileSync(edited, rename(readFileSync(pins, 'utf8')));
  writeFileSync(renamed, rename(readFileSync(bundle, 'utf8')));
  const before = stampOf(output);
  const done = await reuse.build(
    t,
    ['-b', renamed, '-p', edited, '-o', output, '--no-share'],
    NO_ENGINE,
  );
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stderr, /the image is up to date; what data\.json says of it changed/);
  assert.equal(stampOf(output), before);
  assert.ok(Object.hasOwn(readDocument(output).pins.targets['linux/amd64']?.images ?? {}, 'main'));
  const again = await reuse.build(t, ['-b', renamed, '-p', edited, '-o', output], NO_ENGINE);
  assert.match(again.stdout, /nothing changed/);
});

test('what makes another image of it is built from scratch, and -n says why', async (t) => {
  const most = await reuse.variant(t, { images: { app: '2', cli: '2', dns: '2', extra: '2' } });
  const cases: [RegExp, readonly string[], Readonly<Record<string, string>>?][] = [
    [/from scratch: changed: the partition$/, [...inputs, '--size', '300M']],
    [/from scratch: changed: SOURCE_DATE_EPOCH$/, inputs, { SOURCE_DATE_EPOCH: '1700000000' }],
    [/from scratch: as was asked$/, [...inputs, '--from-scratch']],
    [/3 of 5 images changed: app, cli, dns; 1 of 5 images added: extra$/, most],
  ];
  for (const [said, args, env = {}] of cases) {
    const planned = await reuse.build(t, [...args, '-o', first, '-n', '--no-share'], { env });
    assert.equal(planned.code, 0, planned.stderr);
    assert.match(planned.stdout.trim(), said);
  }
});

test('an output that is not as it was built is built from scratch', async (t) => {
  const cases: [string, RegExp, (output: string) => unknown][] = [
    ['a bit flipped', /written to, touched or copied/, flipBit],
    ['the same, and its time restored', /written to, touched or copied/, flipBitSecretly],
    [
      'a file that is shorter',
      /written to, touched or copied/,
      (output) => must('truncate', ['-s', '-4096', output]),
    ],
    ['touched', /written to, touched or copied/, (output) => must('touch', [output])],
    [
      'no data.json',
      /no data\.json says/,
      (output) => {
        rmSync(documentOf(output));
      },
    ],
    [
      'a data.json that was edited',
      /made in another way/,
      (output) => {
        edit(output);
      },
    ],
  ];
  for (const [name, said, spoil] of cases) {
    const output = await copyResult(t, first);
    await spoil(output);
    const planned = await reuse.build(t, [...inputs, '-o', output, '-n', '--no-share']);
    assert.equal(planned.code, 0, planned.stderr);
    assert.match(planned.stdout, said, name);
  }
  const output = await copyResult(t, first);
  flipBitSecretly(output);
  const mended = await reuse.build(t, [...inputs, '-o', output, '--no-share']);
  assert.equal(mended.code, 0, mended.stderr);
  assert.deepEqual(await dataImageContent(t, output), await dataImageContent(t, first));
});

test("somebody else's data.json is not replaced", async (t) => {
  const output = await copyResult(t, first);
  writeFileSync(documentOf(output), '{"mine":true}');
  const refused = await reuse.build(t, [...inputs, '-o', output]);
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /is no data\.json of stowage/);
  assert.equal(readFileSync(documentOf(output), 'utf8'), '{"mine":true}');
});

test('an update that is ended leaves the output as it was, and the next one goes on from it', async (t) => {
  const output = await copyResult(t, first);
  const changed = await reuse.variant(t, { images: { dns: '2' } });
  const args = [...changed, '-o', output, '--no-share'];
  const watched = { engine: reuse.engine, stores: [reuse.store], outputs: [dirname(output)] };
  const before = await machineState(watched);
  const files = [stampOf(output), stampOf(documentOf(output))];
  for (const [signal, moment] of [
    ['SIGINT', 'copy'],
    ['SIGTERM', 'change images'],
    ['SIGKILL', 'change images'],
    ['SIGKILL', 'scrub'],
  ] as const) {
    const running = reuse.start(t, args);
    await running.said(new RegExp(`^stowage: ${moment}$`, 'm'));
    running.kill(signal);
    await running.ended;
    assert.deepEqual([stampOf(output), stampOf(documentOf(output))], files, `${signal} ${moment}`);
    if (signal !== 'SIGKILL') await assertNothingLeft(before, watched);
  }
  const updated = await reuse.build(t, args);
  assert.equal(updated.code, 0, updated.stderr);
  assert.match(updated.stderr, /1 of 4 images changed: dns/);
  assert.deepEqual(readdirSync(dirname(output)).sort(), ['data.ext4', 'data.json']);
  await assertNothingLeft(before, { engine: reuse.engine, stores: [reuse.store] });
});

test('of two updates at once the second finds nothing to do', async (t) => {
  const output = await copyResult(t, first);
  const changed = await reuse.variant(t, { images: { cli: '2' } });
  const runs = await Promise.all(
    [1, 2].map(() => reuse.build(t, [...changed, '-o', output, '--no-share'])),
  );
  for (const ended of runs) assert.equal(ended.code, 0, ended.stderr);
  assert.equal(runs.filter(({ stderr }) => /start engine/.test(stderr)).length, 1);
  assert.equal(runs.filter(({ stdout }) => /nothing changed/.test(stdout)).length, 1);
});

test('an update that fails of itself is followed by a build from scratch', async (t) => {
  const output = await copyResult(t, first);
  const bin = temporaryTree(t);
  writeFileSync(join(bin, 'cp'), '#!/bin/sh\necho "cp: never heard of that" >&2\nexit 1\n', {
    mode: 0o755,
  });
  const changed = await reuse.variant(t, { images: { dns: '2' } });
  const built = await reuse.build(t, [...changed, '-o', output, '--no-share'], {
    env: { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin` },
  });
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /from scratch: updating the last result failed: cp .*never heard/s);
  const verified = await runStowage(t, ['verify', output, ...changed.slice(2)]);
  assert.equal(verified.code, 0, verified.stderr);
});

interface Document {
  readonly fingerprint: string;
  readonly pins: { readonly targets: Record<string, { readonly images: object }> };
}

function documentOf(output: string): string {
  return output.replace(/ext4$/, 'json');
}

function readDocument(output: string): Document {
  return JSON.parse(readFileSync(documentOf(output), 'utf8')) as Document;
}

/** Somewhere in the middle, where files are. */
function flipBit(output: string): void {
  const file = openSync(output, 'r+');
  const at = Math.floor(statSync(output).size / 2);
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  closeSync(file);
}

function flipBitSecretly(output: string): void {
  const { atime, mtimeMs } = statSync(output);
  flipBit(output);
  utimesSync(output, atime, mtimeMs / 1000);
  assert.equal(statSync(output).mtimeMs, mtimeMs);
}

function edit(output: string): void {
  const { atime, mtimeMs } = statSync(documentOf(output));
  const text = readFileSync(documentOf(output), 'utf8');
  writeFileSync(
    documentOf(output),
    text.replace('"overlay', '"x').replace('reuse/dns:now', 'reuse/dns:later'),
  );
  utimesSync(documentOf(output), atime, mtimeMs / 1000);
}
