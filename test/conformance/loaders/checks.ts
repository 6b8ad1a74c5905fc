import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRegistry } from '../../rig/registry.ts';
import { unpacked } from './kept.ts';
import type { Sample } from './samples.ts';
import type { Subject } from './subject.ts';
import { assertKept, docker, runIn } from './subject.ts';
import { tarLines } from './tar-lines.ts';

/**
 * What a device may ask of its engine. What a check gives back has to be the same whoever loaded the images; what is
 * known of it besides, each check asserts by itself. They run in this order in one engine.
 */
export interface Check {
  readonly name: string;
  run(subject: Subject): Promise<unknown>;
}

export const CHECKS: readonly Check[] = [
  { name: 'images --digests', run: listed },
  { name: 'image inspect', run: inspected },
  { name: 'create and export', run: exported },
  { name: 'run', run: ran },
  // Layers that images saved together share, overlay2 holds until the engine ends (28.5): the restart comes next.
  { name: 'save', run: saved },
  { name: 'a restart of the engine', run: restarted },
  { name: 'commit', run: committed },
  { name: 'build', run: built },
  { name: 'a later load', run: loadedLater },
  { name: 'a later pull', run: pulledLater },
  { name: 'rmi and garbage collection', run: removed },
];

/** With the names by digest, as pinned: containerd's store knows manifests, overlay2 configs alone. */
async function listed(subject: Subject): Promise<unknown> {
  const text = await docker(subject, [
    ...['images', '--digests', '--no-trunc', '--format'],
    '{{.Repository}}:{{.Tag}} {{.Digest}} {{.ID}} {{.Size}}',
  ]);
  const lines = text.split('\n').filter(Boolean).sort();
  const shown = new Set(lines.map((line) => line.split(' ')[1]));
  const wanted = subject.samples.baked.flatMap(({ names, image }) => {
    const id = (subject.store === 'containerd' ? image.descriptor : image.config).digest;
    if (subject.store === 'containerd') assert.ok(shown.has(id));
    // Of several names of one image any may be the one that the digest is shown with.
    return names.map((name) => `${name.replace(/^docker\.io\/(?:library\/)?/, '')} ${id}`);
  });
  const named = lines.map((line) => line.replace(/ (?:sha256:[0-9a-f]{64}|<none>) /, ' '));
  assert.deepEqual(
    named.map((line) => line.split(' ').slice(0, 2).join(' ')),
    wanted.sort(),
  );
  return named;
}

async function inspected(subject: Subject): Promise<unknown> {
  const documents: Record<string, unknown> = {};
  for (const { names } of subject.samples.baked)
    for (const name of names) {
      const [one] = JSON.parse(await docker(subject, ['image', 'inspect', name])) as Inspected[];
      assert.ok(one);
      documents[name] = withoutChance(one);
    }
  return documents;
}

interface Inspected {
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Metadata?: { readonly LastTagTime?: string };
  readonly GraphDriver?: { readonly Name: string; readonly Data: unknown };
}

/** LastTagTime is that of loading; overlay2's directories have names at random. */
function withoutChance(one: Inspected): unknown {
  const { Metadata, GraphDriver, ...rest } = one;
  return {
    ...rest,
    Metadata: { ...Metadata, LastTagTime: Metadata?.LastTagTime === undefined ? 'none' : 'some' },
    GraphDriver: GraphDriver?.Name,
  };
}

async function exported(subject: Subject): Promise<unknown> {
  const trees: Record<string, unknown> = {};
  for (const { name, names } of subject.samples.baked)
    trees[name] = await treeOf(subject, names[0], { times: true });
  return trees;
}

async function treeOf(
  subject: Subject,
  image: string,
  options: { readonly times: boolean },
): Promise<string[]> {
  const file = join(subject.directory, 'exported.tar');
  await docker(subject, ['create', '--pull=never', '--name', 'exported', image]);
  await docker(subject, ['export', '-o', file, 'exported']);
  await docker(subject, ['rm', 'exported']);
  const lines = tarLines(file, options);
  assert.ok(lines.length > 3);
  rmSync(file);
  return lines;
}

async function ran(subject: Subject): Promise<unknown> {
  const said = await runIn(subject, sampleOf(subject, 'rich').names[0]);
  assert.equal(said, 'by the image in /srv/app as 1000:1001\n');
  const root = await docker(subject, [
    ...['run', '--rm', '--pull=never', '--network=none', '--user=0'],
    ...[sampleOf(subject, 'rich').names[1] ?? '', 'sh', '-c'],
    'id -u && cd /srv && ls -A hidden && cat link was-a-directory && ls -A was-a-file odd',
  ]);
  assert.match(root, /^0\nthree\nof the layer belownow a file/);
  // Only who owns a file and has the capability gives it away: the program has it, who runs it has not.
  const able = await runIn(
    subject,
    sampleOf(subject, 'able').names[0],
    ...['sh', '-c'],
    'id -u; chown 5:5 /srv/mine 2>/dev/null && echo by itself; busybox-able chown 5:5 /srv/mine && stat -c %u:%g /srv/mine',
  );
  assert.equal(able, '1000\n5:5\n');
  return [said, root, able];
}

async function restarted(subject: Subject): Promise<unknown> {
  const image = sampleOf(subject, 'rich').names[0];
  const all = async (): Promise<unknown> => [
    await listed(subject),
    await inspected(subject),
    await exported(subject),
    await ran(subject),
  ];
  const before = await all();
  await docker(subject, [
    ...['create', '--pull=never', '--network=none', '--name', 'stays', image],
    ...['sh', '-c', 'touch /srv/app/again && ls -A /srv/app'],
  ]);
  await subject.device.restart();
  assert.deepEqual(await all(), before);
  const said = await docker(subject, ['start', '--attach', 'stays']);
  assert.equal(said, 'again\n');
  await docker(subject, ['rm', 'stays']);
  return before;
}

/**
 * Byte for byte what an engine saves that loaded the images itself. With overlay2 the archive has times of saving in it,
 * and of several images any may hold a layer that others link to.
 */
async function saved(subject: Subject): Promise<unknown> {
  const { samples, store, directory } = subject;
  const archives: Record<string, unknown> = {};
  const file = join(directory, 'saved.tar');
  for (const { name, names } of samples.baked) {
    await docker(subject, ['save', '-o', file, names[0]]);
    archives[name] =
      store === 'containerd'
        ? [
            createHash('sha256').update(readFileSync(file)).digest('hex'),
            ...tarLines(file, { times: true }),
          ]
        : tarLines(file, { times: false });
    rmSync(file);
  }
  const all = samples.baked.flatMap(({ names }) => names);
  await docker(subject, ['save', '-o', file, ...all]);
  archives['all of them'] = tarLines(file, { times: false }).map(
    (line) => (JSON.parse(line) as { name: string }).name,
  );
  rmSync(file);
  return archives;
}

async function committed(subject: Subject): Promise<unknown> {
  const from = sampleOf(subject, 'rich').names[0];
  await docker(subject, [
    ...['run', '--pull=never', '--network=none', '--user=0', '--name', 'changed', from],
    ...['sh', '-c', 'echo more >/srv/more && rm /srv/link && chown 12:13 /srv/open/name'],
  ]);
  await docker(subject, ['commit', 'changed', 'committed:1']);
  await docker(subject, ['rm', 'changed']);
  const outcome = await above(subject, from, 'committed:1', 1);
  await docker(subject, ['rmi', 'committed:1']);
  await assertKept(subject, subject.samples.baked);
  return outcome;
}

/** By the classic builder, which is all that an engine without buildx has. */
async function built(subject: Subject): Promise<unknown> {
  const from = sampleOf(subject, 'base').names[0];
  const context = join(subject.directory, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'hello'), 'hello');
  writeFileSync(
    join(context, 'Dockerfile'),
    `FROM ${from}\nCOPY hello /srv/hello\nRUN cat /srv/hello /etc/group >/srv/both && rm /bin/id\n`,
  );
  await docker(subject, ['build', '-q', '--network=none', '-t', 'built:1', context], {
    DOCKER_BUILDKIT: '0',
  });
  const outcome = await above(subject, from, 'built:1', 2);
  const said = await runIn(subject, 'built:1', 'cat', '/srv/both');
  assert.match(said, /^helloroot:/);
  await docker(subject, ['rmi', 'built:1']);
  await assertKept(subject, subject.samples.baked);
  return outcome;
}

/** The tree of an image that was made of another, which has that one's layers and so many more. */
async function above(subject: Subject, from: string, made: string, more: number): Promise<unknown> {
  const layers = async (name: string): Promise<readonly string[]> => {
    const [one] = JSON.parse(await docker(subject, ['image', 'inspect', name])) as Inspected[];
    return one?.RootFS.Layers ?? [];
  };
  const [lower, all] = [await layers(from), await layers(made)];
  assert.deepEqual(all.slice(0, lower.length), lower);
  assert.equal(all.length, lower.length + more);
  return treeOf(subject, made, { times: false });
}

async function loadedLater(subject: Subject): Promise<unknown> {
  const { loaded } = subject.samples;
  await unpacksOne(subject, () => docker(subject, ['load', '-q', '-i', subject.archive]));
  const tree = await treeOf(subject, loaded.names[0], { times: true });
  await assertKept(subject, [...subject.samples.baked, loaded]);
  return tree;
}

/** From a registry in the device's own network. */
async function pulledLater(subject: Subject): Promise<unknown> {
  const { samples, registryStorage: storage, device, owner } = subject;
  const registry = await startRegistry(owner, { storage, networkOf: await device.pid() });
  const name = `${registry.host}/test/${samples.pulled.name}:1`;
  await unpacksOne(subject, () => docker(subject, ['pull', '-q', name]));
  const asked = (await registry.requests())
    .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
    .map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
  await registry.stop();
  const tree = await treeOf(subject, name, { times: true });
  await assertKept(subject, [...samples.baked, samples.loaded, samples.pulled]);
  await docker(subject, ['rmi', name]);
  return { asked: [...new Set(asked)].sort(), tree };
}

/** One layer is new, and all others are left as they are. */
async function unpacksOne(subject: Subject, action: () => Promise<unknown>): Promise<void> {
  const { device, store } = subject;
  const before = await unpacked(device.partition, store);
  await action();
  const after = await unpacked(device.partition, store);
  assert.deepEqual(
    after.filter((line) => before.includes(line)),
    before,
  );
  assert.equal(after.length, before.length + 1);
}

/**
 * One image after the other, the one that shares most first; what the rest shares stays. Two of the same layers go
 * together: whether they stay for one of the two depends on which was loaded first (docs/direct.md).
 */
async function removed(subject: Subject): Promise<unknown> {
  const { samples } = subject;
  let left: readonly Sample[] = [...samples.baked, samples.loaded];
  const stages = [await assertKept(subject, left)];
  while (left.length > 0) {
    const gone = left.filter(({ diffIds }) => diffIds.join() === left[0]?.diffIds.join());
    await docker(subject, ['rmi', ...gone.flatMap(({ names }) => names)]);
    left = left.filter((one) => !gone.includes(one));
    stages.push(await assertKept(subject, left));
  }
  assert.deepEqual(stages.at(-1)?.blobs, []);
  return stages;
}

function sampleOf({ samples }: Subject, name: string): Sample {
  const found = samples.baked.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}
