import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { engineRights } from '../../src/load/dind/rights.ts';
import { dindImage } from '../rig/dind-image.ts';
import type { OuterEngine } from '../rig/engine.ts';
import { startEngine } from '../rig/engine.ts';
import type { Image } from '../rig/image.ts';
import { makeImage, makeIndex, noise } from '../rig/image.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { startPodman } from '../rig/podman.ts';
import { mustAsRoot, waitFor } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';

/**
 * The builder's engine is Docker or Podman, reached in every way that works, refused in every way that can't; and
 * what its container is allowed is what the files of an image ask for.
 */
const owner = fileOwner();
const dir = temporaryTree(owner);
const registry = await startRegistry(owner);
const dind = await dindImage();
const docker = await startEngine(owner);
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'security.md'), 'utf8');
const rules = (/^```sudoers\n(.*?)\n```$/ms.exec(page)?.[1] ?? '').split('\n');
const user = await unprivilegedUser(
  owner,
  rules.map((line) => line.replace(/^builder /, '')),
);
const podman = await startPodman(owner, user.gid);
const store = join(dir, 'store');
const bundle = join(dir, 'bundle.yaml');
const pins = join(dir, 'pins.json');

const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/** Every kind of file whose making takes a right that not everybody has. */
async function demandingImage(platform: string): Promise<Image> {
  return makeImage({
    platform,
    config: { Volumes: { '/vol': {} }, WorkingDir: '/srv/here', User: '1000:1000', Cmd: ['x'] },
    layers: [
      {
        'dev/zero': { type: 'character-device', device: { major: 1, minor: 5 }, mode: 0o666 },
        'run/fifo': { type: 'fifo', uid: 5, gid: 6 },
        'bin/su': { content: 'su', mode: 0o4755 },
        'bin/group': { content: 'group', mode: 0o2755, uid: 3, gid: 44 },
        'bin/ping': { content: 'p', uid: 7, xattrs: { 'security.capability': latin(CAPABILITY) } },
        'home/u': { type: 'directory', mode: 0o700, uid: 1000, gid: 1000 },
        'home/u/file': { content: 'f', uid: 1000, gid: 1000, mode: 0o400 },
        'home/u/sub': { type: 'directory', mode: 0o500, uid: 1000, gid: 1000 },
        'home/u/sub/file': { content: 'f', uid: 1001, gid: 1000, mode: 0o200 },
        'home/u/sub/hard': { type: 'link', target: 'home/u/sub/file', uid: 1001, gid: 1000 },
        'home/u/sub/soft': { type: 'symlink', target: 'file', uid: 1001, gid: 1000 },
        tmp: { type: 'directory', mode: 0o1777 },
        'srv/group': { type: 'directory', mode: 0o2775, uid: 9, gid: 99 },
        'vol/data': { content: 'in a volume', uid: 33, mode: 0o600 },
        'old/file': 'old',
        'opaque/file': 'old',
      },
      {
        'old/.wh.file': '',
        'opaque/.wh..wh..opq': '',
        'opaque/new': { content: 'new', uid: 77 },
        'home/u/sub/new': { content: 'n', uid: 1002, mode: 0o4500 },
      },
      { 'usr/noise': noise(77, 100_000) },
    ],
  });
}

function latin(bytes: Buffer): string {
  return bytes.toString('latin1');
}

const STORES = ['containerd', 'overlay2'] as const;
type Store = (typeof STORES)[number];
/** Where each has the files of its layers. */
const SNAPSHOTS: Readonly<Record<Store, string>> = {
  containerd: 'docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs',
  overlay2: 'docker/overlay2/*/diff',
};

const platforms = ['linux/amd64', 'linux/arm64'] as const;

test('set-up: an image that asks for every right is in the store', async (t) => {
  await pushDind(registry, dind, 'library/docker:28.5.2-dind');
  const images: Record<string, Image> = {};
  for (const platform of platforms) images[platform] = await demandingImage(platform);
  await push(registry, 'demanding/image:1', makeIndex(images));
  writeFileSync(
    bundle,
    `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  demanding: { from: 'docker://${registry.host}/demanding/image:1' }
files:
  hello.txt: { text: 'hello' }
`,
  );
  for (const platform of platforms) {
    const inputs = ['-b', bundle, '-p', pins, '-s', store, '--platform', platform];
    const fetched = await runStowage(t, ['fetch', ...inputs]);
    assert.equal(fetched.code, 0, fetched.stderr);
  }
});

function build(output: string, platform: string = platforms[0]): string[] {
  const inputs = ['-b', bundle, '-p', pins, '-s', store, '--platform', platform];
  return ['build', ...inputs, '-o', output, '--from-scratch'];
}

async function succeed(
  t: TestContext,
  args: readonly string[],
  options: Parameters<typeof runStowage>[2],
): Promise<string> {
  const ended = await runStowage(t, args, options);
  assert.equal(ended.code, 0, ended.stderr);
  return ended.stderr;
}

/** Builds and verifies for each of the platforms; returns what every snapshot of the first holds. */
async function buildAndVerify(
  t: TestContext,
  engine: OuterEngine,
  log: RegExp,
  { wanted = platforms, kept = 'containerd' }: { wanted?: readonly string[]; kept?: Store } = {},
): Promise<string> {
  const outputs = temporaryTree(t);
  const watched = { engine, stores: [store], outputs: [outputs] };
  const before = await machineState(watched);
  const trees: string[] = [];
  for (const platform of wanted) {
    const output = join(outputs, 'data.ext4');
    const env = { STOWAGE_ENGINE_STORE: kept };
    assert.match(await succeed(t, build(output, platform), { engine, env }), log);
    await succeed(t, ['verify', output, '-p', pins, '--platform', platform], {});
    // Which engine it was is no business of those who compare two builders' results.
    assert.doesNotMatch(readFileSync(join(outputs, 'data.json'), 'utf8'), /podman/i);
    trees.push(await snapshotTrees(t, output, kept));
    clear(outputs);
  }
  await assertNothingLeft(before, watched);
  return trees[0] ?? '';
}

/** Only containerd's store knows platforms. */
function forStore(kept: Store): { wanted: readonly string[]; kept: Store } {
  return { kept, wanted: kept === 'containerd' ? platforms : platforms.slice(0, 1) };
}

function clear(directory: string): void {
  for (const name of readdirSync(directory)) rmSync(join(directory, name));
}

/** Each file of each snapshot with all that is to be the same again: the times of whiteouts and of directories that
 *  no layer names are the builder's. */
async function snapshotTrees(t: TestContext, image: string, kept: Store): Promise<string> {
  const point = join(temporaryTree(t), 'mnt');
  mkdirSync(point);
  await mustAsRoot('mount', ['-o', 'ro,loop', image, point]);
  try {
    const script = `cd "$0" && for snapshot in ${SNAPSHOTS[kept]}; do (cd "$snapshot" && {
  find . -type f -printf '%p %T@ %s %n\\n'
  find . -printf '%p %y %m %U:%G %l\\n'
  find . -type c -exec stat -c '%n %t:%T' {} +
  find . | sort | while read -r file; do
    getfattr -h -d -m - -e hex "$file" | while read -r value; do echo "$file $value"; done
  done
} | sort | tr '\\n' '|'); echo; done | sort`;
    return await mustAsRoot('sh', ['-c', script, point]);
  } finally {
    await mustAsRoot('umount', [point]);
    // Whatever was started meanwhile may hold a copy of the mount for a moment.
    await waitFor('the loop device is free', 20_000, async () => {
      const users = await mustAsRoot('losetup', ['--associated', image]);
      return users === '' ? true : undefined;
    });
  }
}

/** Docker's command, but for its containers one argument less, and others more. */
function wrapper(t: TestContext, without: string, more: readonly string[] = []): string {
  const file = join(temporaryTree(t), 'engine');
  writeFileSync(
    file,
    `#!/bin/sh
[ "$1" = create ] || exec docker "$@"
shift
for argument; do shift; [ "$argument" = '${without}' ] || set -- "$@" "$argument"; done
exec docker create ${more.join(' ')} "$@"
`,
  );
  chmodSync(file, 0o755);
  return file;
}

/** By store, what an engine writes that may do more. */
const references = new Map<Store, string>();

for (const kept of STORES)
  test(`with Docker, the result is that of an engine that may do more (${kept})`, async (t) => {
    const output = join(temporaryTree(t), 'data.ext4');
    const engine = wrapper(t, '--cap-drop=ALL', [
      ...['--security-opt=seccomp=unconfined', '--security-opt=systempaths=unconfined'],
    ]);
    const env = { STOWAGE_ENGINE: engine, STOWAGE_ENGINE_STORE: kept };
    const log = await succeed(t, build(output), { engine: docker, env });
    assert.ok(log.includes(`engine: ${engine} `), log);
    const reference = await snapshotTrees(t, output, kept);
    for (const line of [
      './dev/zero 1:5',
      './bin/su f 4755',
      'security.capability=',
      './old/file 0:0',
    ])
      assert.ok(reference.includes(line), `${line}:\n${reference}`);
    references.set(kept, reference);
    const built = await buildAndVerify(t, docker, /^stowage: engine: docker /m, forStore(kept));
    assert.equal(built, reference);
  });

/** Without most, nothing is built, and this is said; without some, files are silently others, which is worse. */
type Absence = RegExp | 'other files' | 'not needed';

const ABSENCES: Readonly<Record<string, Readonly<Record<Store, Absence>>>> = {
  SYS_ADMIN: {
    containerd: /operation not permitted|failed while starting/,
    overlay2: /failed while starting/,
  },
  CHOWN: { containerd: /failed to Lchown|operation not permitted/, overlay2: /not permitted/ },
  DAC_OVERRIDE: { containerd: /permission denied/, overlay2: /denied|failed while starting/ },
  FOWNER: { containerd: /operation not permitted/, overlay2: /operation not permitted/ },
  FSETID: { containerd: 'other files', overlay2: 'other files' },
  MKNOD: { containerd: /operation not permitted/, overlay2: /operation not permitted/ },
  SETFCAP: { containerd: /failed to setxattr/, overlay2: 'other files' },
  SYS_CHROOT: { containerd: 'not needed', overlay2: /operation not permitted/ },
};

test('the rights that docs/security.md lists are those that the container gets', () => {
  const { capabilities } = engineRights(false);
  assert.deepEqual(Object.keys(ABSENCES), [...capabilities]);
  const listed = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1]);
  assert.deepEqual(listed, [...capabilities]);
});

const absences = Object.entries(ABSENCES).flatMap(([capability, byStore]) =>
  STORES.filter(
    // What is the same with both is seen with one of them, unless there is time.
    (kept) =>
      kept === 'containerd' ||
      !(byStore.overlay2 instanceof RegExp) ||
      !(byStore.containerd instanceof RegExp) ||
      rounds(0, 1) === 1,
  ).map((kept) => [capability, kept, byStore[kept]] as const),
);
for (const [capability, kept, absence] of absences)
  test(`without ${capability}, ${kept}: ${absence instanceof RegExp ? 'no image' : absence}`, async (t) => {
    const outputs = temporaryTree(t);
    const output = join(outputs, 'data.ext4');
    const watched = { engine: docker, stores: [store], outputs: [outputs] };
    const before = await machineState(watched);
    const engine = wrapper(t, `--cap-add=${capability}`);
    const env = { STOWAGE_ENGINE: engine, STOWAGE_ENGINE_STORE: kept };
    const ended = await runStowage(t, build(output), { engine: docker, env });
    if (absence instanceof RegExp) {
      assert.notEqual(ended.code, 0, 'it is not needed');
      assert.match(ended.stderr, absence);
      await assertNothingLeft(before, watched);
      return;
    }
    assert.equal(ended.code, 0, ended.stderr);
    const trees = await snapshotTrees(t, output, kept);
    if (absence === 'other files') assert.notEqual(trees, references.get(kept));
    else assert.equal(trees, references.get(kept));
  });

test('with Podman, root gets the same', async (t) => {
  for (const kept of STORES) {
    const built = await buildAndVerify(t, podman, /^stowage: engine: podman /m, forStore(kept));
    assert.equal(built, references.get(kept));
  }
});

test("an ordinary user gets it from root's Podman, by its socket", async (t) => {
  const options = { engine: podman.service, user, cwd: user.home };
  const watched = { engine: podman, stores: [store] };
  const before = await machineState(watched);
  const doctor = await runStowage(t, ['doctor', '-o', 'data.ext4'], options);
  assert.match(doctor.stdout, /^ok {4}container engine: podman /m);
  await succeed(t, build('data.ext4'), options);
  await succeed(t, ['verify', 'data.ext4', '-p', pins, '--platform', platforms[0]], options);
  await assertNothingLeft(before, watched);
});

test("Docker's command in front of Podman's service will do", async (t) => {
  const engine = { ...podman, environment: { DOCKER_HOST: podman.service.host } };
  const wanted = platforms.slice(0, 1);
  const built = await buildAndVerify(t, engine, /^stowage: engine: docker /m, { wanted });
  assert.equal(built, references.get('containerd'));
});

test('an engine that shifts user IDs shifts none of ours', async (t) => {
  const ids = '300000-365535';
  await mustAsRoot('usermod', ['--add-subuids', ids, '--add-subgids', ids, user.name]);
  const engine = await startEngine(t, { remap: `${user.name}:${user.name}` });
  const info = await engine.mustDocker(['info', '--format', '{{json .SecurityOptions}}']);
  assert.match(info, /name=userns/);
  const wanted = platforms.slice(0, 1);
  const built = await buildAndVerify(t, engine, /^stowage: engine: docker /m, { wanted });
  assert.equal(built, references.get('containerd'));
});

test("Podman's containers are ended and reaped as Docker's are, in any path", async (t) => {
  const engine = podman;
  const outputs = join(temporaryTree(t), 'a, b: "c"');
  mkdirSync(outputs);
  const output = join(outputs, 'data.ext4');
  const watched = { engine, stores: [store], outputs: [outputs] };
  const before = await machineState(watched);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const running = startStowage(t, build(output), { engine });
    await running.said(/^stowage: load images$/m);
    running.kill(signal);
    const ended = await running.ended;
    if (signal === 'SIGTERM') {
      assert.equal(ended.code, 143, ended.stderr);
      await assertNothingLeft(before, watched);
    }
  }
  assert.match(await succeed(t, build(output), { engine }), /removed container|container/);
  assert.deepEqual(readdirSync(outputs).sort(), ['data.ext4', 'data.json']);
  clear(outputs);
  await assertNothingLeft(before, watched);
});

const FAULTS: readonly {
  readonly name: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly says: RegExp;
}[] = [
  {
    name: 'nobody is at DOCKER_HOST',
    env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' },
    says: /no docker engine answers: .*nonexistent/,
  },
  {
    name: 'nobody is at CONTAINER_HOST',
    env: { DOCKER_HOST: undefined, CONTAINER_HOST: 'unix:///nonexistent/podman.sock' },
    says: /no podman engine answers: .*nonexistent/,
  },
  {
    name: 'DOCKER_HOST is no address',
    env: { DOCKER_HOST: 'nonsense://x' },
    says: /nonsense:\/\/x/,
  },
  {
    name: 'DOCKER_HOST is another machine',
    env: { DOCKER_HOST: 'tcp://127.0.0.1:1' },
    says: /not on this machine \(tcp:\/\/127\.0\.0\.1:1\)/,
  },
  {
    name: 'DOCKER_HOST is another machine, over ssh',
    env: { DOCKER_HOST: 'ssh://builder@127.0.0.1' },
    says: /not on this machine \(ssh:\/\/builder@127\.0\.0\.1\)/,
  },
  {
    name: 'the context is none',
    env: { DOCKER_HOST: undefined, DOCKER_CONTEXT: 'nonexistent', STOWAGE_ENGINE: 'docker' },
    says: /no docker engine answers: .*nonexistent/,
  },
  {
    name: 'the engine that is named is none',
    env: { STOWAGE_ENGINE: '/bin/echo' },
    says: /\/bin\/echo is neither Docker nor Podman/,
  },
  {
    name: 'the engine that is named is missing',
    env: { STOWAGE_ENGINE: '/nonexistent/podman' },
    says: /\/nonexistent\/podman is not on this machine/,
  },
];

for (const { name, env, says } of FAULTS)
  test(`one message and code 6, from build and doctor: ${name}`, async (t) => {
    const outputs = temporaryTree(t);
    const before = await machineState({ stores: [store], outputs: [outputs] });
    const ended = await runStowage(t, build(join(outputs, 'data.ext4')), { env });
    assert.equal(ended.code, 6, ended.stderr);
    assert.match(ended.stderr, says);
    assert.equal([...ended.stderr.matchAll(/ {2}hint: /g)].length, 1, ended.stderr);
    await assertNothingLeft(before, { stores: [store], outputs: [outputs] });
    const doctor = await runStowage(t, ['doctor', '-o', join(outputs, 'data.ext4')], { env });
    assert.equal(doctor.code, 6);
    assert.match(doctor.stdout, /^LACK {2}container engine: /m);
  });

test('a user whom the socket does not let in, and one whose Podman is his own, are told so', async (t) => {
  const cwd = user.home;
  const refused = await runStowage(t, build('data.ext4'), { user, cwd, engine: docker });
  assert.equal(refused.code, 6, refused.stderr);
  assert.match(refused.stderr, /no docker engine answers: permission denied.*\n.*join the group/s);
  const env = { STOWAGE_ENGINE: 'podman' };
  const rootless = await runStowage(t, build('data.ext4'), { user, cwd, env });
  assert.equal(rootless.code, 6, rootless.stderr);
  assert.match(rootless.stderr, /the podman engine runs rootless/);
  assert.match(rootless.stderr, /hint: .*CONTAINER_HOST=unix:\/\/\/run\/podman\/podman\.sock/);
});

test('an engine that does not see what is mounted here writes nothing beside the image', async (t) => {
  const engine = await startEngine(t, { apart: true });
  const outputs = temporaryTree(t);
  const watched = { engine, stores: [store], outputs: [outputs] };
  const before = await machineState(watched);
  const ended = await runStowage(t, build(join(outputs, 'data.ext4')), { engine });
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(
    ended.stderr,
    /the docker engine does not see this build's directories: it has no .*mnt/,
  );
  await assertNothingLeft(before, watched);
});
