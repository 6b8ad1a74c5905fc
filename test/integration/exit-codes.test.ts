import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startEngine } from '../rig/engine.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { makeImage } from '../rig/image.ts';
import { machineState, mountsBelow } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { machinePlatform } from '../rig/platform.ts';
import { mustAsRoot, PATH_WITH_SBIN } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage, type StowageOptions } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { pushPair, startProduct } from './product.ts';

/** Every exit code of docs/exit-codes.md with its words; 1 is in test/unit/cli/main.test.ts, 130 and 143 in build-ends and interrupted-fetch. */
const owner = fileOwner();
const product = await startProduct(owner, 1000);
const { registry } = product;
const platform = machinePlatform();
const [one] = await pushPair(registry, platform);
const proxy = await startFaultProxy(owner, { upstream: registry.url });
const dir = temporaryTree(owner);
const bundle = join(dir, 'bundle.yaml');
const pins = join(dir, 'pins.json');
const store = join(dir, 'store');
const text = (host: string): string => `stowage: 1
engine: { dind: 'docker://${host}/library/docker:28.5.2-dind' }
images:
  one: { from: 'docker://${host}/pair/1:1' }
  two: { from: 'docker://${host}/pair/2:1' }
`;
writeFileSync(bundle, text(registry.host));

test('0: done', async (t) => {
  const args = ['fetch', '-b', bundle, '-p', pins, '-s', store, '--platform', platform];
  const { code, stdout } = await runStowage(t, args);
  assert.equal(code, 0);
  assert.match(stdout, /^.+\/store: 3 images and 0 files, .+ downloaded\n$/);
});

interface Scene {
  readonly dir: string;
  readonly store: string;
  readonly output: string;
  /** Ends with this code and exactly this text, `{dir}` filled in; store and output are as before. */
  ends(
    code: number,
    args: readonly string[],
    expected: string | RegExp,
    options?: StowageOptions,
  ): Promise<void>;
}

/** A copy of the filled store beside an output of before. */
function scene(t: TestContext): Scene {
  const at = temporaryTree(t);
  const copy = join(at, 'store');
  const output = join(at, 'data.ext4');
  cpSync(store, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  writeFileSync(output, 'the previous one');
  const ends: Scene['ends'] = async (code, args, expected, options) => {
    const watched = { stores: [copy], outputs: [at] };
    const before = await machineState(watched);
    const content = contentOf(copy);
    const ended = await runStowage(t, args, options);
    assert.equal(ended.code, code, ended.stderr);
    // What was said on the way is progress; the failure begins with the last line that is ours.
    const failure = ended.stderr.replace(
      /^(stowage: (from scratch|check store|verify|resolving|fetching|pinned|make file|removed|one|two|dind|\S+: attempt)\b.*\n)+(?=stowage: )/,
      '',
    );
    if (typeof expected === 'string') assert.equal(failure, expected.replaceAll('{dir}', at));
    else assert.match(failure, expected);
    assert.doesNotMatch(ended.stderr, /\n {4}at |internal fault/);
    assert.equal(readFileSync(output, 'utf8'), 'the previous one');
    assert.deepEqual(contentOf(copy), content, 'the store changed');
    // By what is ours alone: whatever else this machine mounts meanwhile is not the failure's.
    const { staging, loopDevices } = await machineState(watched);
    assert.deepEqual(staging, before.staging);
    assert.deepEqual([...mountsBelow(at), ...loopDevices.filter((line) => line.includes(at))], []);
  };
  return { dir: at, store: copy, output, ends };
}

function contentOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('verified'))
    .sort();
}

const fetchArgs = (s: Scene, more: readonly string[] = []): string[] => [
  ...['fetch', '-b', bundle, '-p', pins, '-s', s.store],
  ...more,
];
const buildArgs = (s: Scene, more: readonly string[] = []): string[] => [
  ...['build', '-b', bundle, '-p', pins, '-s', s.store, '-o', s.output],
  ...more,
];

const HINT = {
  bundle: '  hint: docs/bundle.md describes bundles\n',
  usage: '  hint: stowage --help, stowage COMMAND --help\n',
};

test('2: bundles that can not be', async (t) => {
  const s = scene(t);
  const from = `from: 'docker://${registry.host}/pair/1:1'`;
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      'stowage: 1\nimages:\n  a: { form: x }\n',
      /:3:6: images\.a: from is missing\n\S+:3:8: images\.a\.form: unknown key; did you mean from\?\n/,
    ],
    ['stowage: 1\nimages: [a]\n', /:2:9: images: a list is not a map of keys and values\n/],
    ['stowage: 1\nimages:\n  a: { from: 7 }\n', /:3:14: images\.a\.from: /],
    [
      `stowage: 1\nimages:\n  a: { from: 'docker://x/Upper:1' }\n`,
      /:3:3: images\.a\.from: .*upper-case/,
    ],
    [
      `stowage: 1\nimages:\n  a: { ${from} }\nfiles:\n  ../x: { text: '' }\n`,
      /:5:3: files\.\.\.\/x: .*\.\./,
    ],
    [`stowage: 1\nimages:\n  a: { ${from} }\nfiles:\n  /x: { text: '' }\n`, /:5:3: files\.\/x: /],
    ['', /: it is empty; a bundle begins with "stowage: 1"\n/],
  ];
  for (const [content, expected] of cases) {
    const file = join(temporaryTree(t), 'bundle.yaml');
    writeFileSync(file, content);
    const pattern = new RegExp(`^stowage: ${file}${expected.source}`);
    await s.ends(2, ['fetch', '-b', file, '-p', pins, '-s', s.store], pattern);
  }
  const missing = ['fetch', '-b', '/nonexistent.yaml', '-p', pins, '-s', s.store];
  await s.ends(
    2,
    missing,
    `stowage: /nonexistent.yaml: there is no such file\n  hint: check the path given with -b\n`,
  );
  const directory = ['fetch', '-b', '/etc', '-p', pins, '-s', s.store];
  await s.ends(
    2,
    directory,
    `stowage: /etc: this is a directory\n  hint: name a file: check the path given with -b\n`,
  );
  const other = join(temporaryTree(t), 'other.yaml');
  writeFileSync(other, text('registry.example').replaceAll('pair', 'other'));
  await s.ends(
    2,
    ['fetch', '-b', bundle, '-b', other, '-p', pins, '-s', s.store],
    new RegExp(
      `^stowage: \\S+ is one thing in ${bundle} and another in ${other}\n  hint: rename one of them, or take it out of one of the files\n$`,
    ),
  );
});

test('2: options that can not be', async (t) => {
  const s = scene(t);
  const cases: readonly (readonly [readonly string[], string])[] = [
    [
      fetchArgs(s, ['--platform', 'foo']),
      `stowage: --platform "foo" is no platform\n  hint: give one such as linux/amd64, linux/arm64, linux/arm/v7, aarch64, armv7 or riscv64\n`,
    ],
    [
      fetchArgs(s, ['--fozen']),
      `stowage: unknown option --fozen; did you mean --frozen?\n${HINT.usage}`,
    ],
    [
      fetchArgs(s, ['--jobs', '1', '--jobs', '2']),
      `stowage: --jobs is given more than once\n${HINT.usage}`,
    ],
    [
      fetchArgs(s, ['--jobs', 'many']),
      `stowage: --jobs "many" can't be: expected a number\n${HINT.usage}`,
    ],
    [
      fetchArgs(s, ['--stall', '1', '--stall', '2']),
      `stowage: --stall is given more than once\n${HINT.usage}`,
    ],
    [
      ['build', '-b', bundle],
      `stowage: Missing required arguments: pins, store, output\n${HINT.usage}`,
    ],
    [
      buildArgs(s, ['--size', '1e9']),
      `stowage: --size "1e9" can't be: expected auto, or a size such as 1280M or 2G\n`,
    ],
    [
      ['build', '-b', bundle, '-p', pins, '-s', s.store, '-o', pins],
      `stowage: --output "${pins}" can't be: expected another name: it is an input, and would be replaced\n`,
    ],
    [
      ['build', '-b', bundle, '-p', pins, '-s', s.store, '-o', `${pins.slice(0, -5)}.ext4`],
      `stowage: --output "${pins.slice(0, -5)}.ext4" can't be: expected another name: ${pins} is an input, and would be replaced\n`,
    ],
  ];
  for (const [args, message] of cases) await s.ends(2, args, message);
});

test('2: pins that are missing, stale, of other targets, or of several', async (t) => {
  const s = scene(t);
  const none = join(s.dir, 'none.json');
  const frozen = ['fetch', '-b', bundle, '-p', none, '-s', s.store, '--frozen'];
  const message = `stowage: there are no pins: ${none} does not exist; to be pinned: one, two\n  hint: run \`stowage pin -p ${none}\` with the bundle and platform\n`;
  await s.ends(2, frozen, message);
  await s.ends(2, ['build', '-b', bundle, '-p', none, '-s', s.store, '-o', s.output], message);
  const changed = join(temporaryTree(t), 'changed.yaml');
  writeFileSync(changed, text(registry.host).replace('pair/2:1', 'pair/2:2'));
  await s.ends(
    2,
    ['fetch', '-b', changed, '-p', pins, '-s', s.store, '--frozen'],
    `stowage: ${pins} is not of this bundle any more (target ${platform}):
  images.two: ${registry.host}/pair/2:1 is pinned, the bundle wants ${registry.host}/pair/2:2
  images.two: its names are pinned as ${registry.host}/pair/2:1, and are ${registry.host}/pair/2:2
  hint: run \`stowage pin\` again and review what changes
`,
  );
  const document = JSON.parse(readFileSync(pins, 'utf8')) as { targets: Record<string, object> };
  const target = document.targets[platform];
  const s390 = JSON.parse(JSON.stringify(target).replaceAll(platform, 'linux/s390x')) as object;
  const several = join(temporaryTree(t), 'several.json');
  writeFileSync(
    several,
    JSON.stringify({ ...document, targets: { [platform]: target, 'linux/s390x': s390 } }),
  );
  const choose = ['build', '-b', bundle, '-p', several, '-s', s.store, '-o', s.output];
  await s.ends(
    2,
    choose,
    `stowage: ${several} has pins for several targets: ${[platform, 'linux/s390x'].sort().join(', ')}\n  hint: choose one with --platform, --machine and --set\n`,
  );
  await s.ends(
    2,
    [...choose, '--platform', 'linux/riscv64'],
    /^stowage: \S+ has no pins for linux\/riscv64; it has: .*\n {2}hint: run `stowage pin` with this --platform/,
  );
});

test('3: what the store lacks, or holds with a bit that flipped', async (t) => {
  const layer = one?.layers[1]?.digest ?? '';
  const s = scene(t);
  const path = join(s.store, 'blobs', 'sha256', layer.slice(7));
  const bytes = readFileSync(path);
  const message = (what: string): string =>
    `stowage: one: ${layer} is ${what} in ${s.store}\n  hint: run \`stowage fetch -s ${s.store}\` with the same bundle and pins\n`;
  await mustAsRoot('rm', [path]);
  await s.ends(3, buildArgs(s), message('missing'));
  await s.ends(3, fetchArgs(s, ['--offline']), message('missing'));
  const empty = join(s.dir, 'no-store');
  const offline = ['fetch', '-b', bundle, '-p', pins, '-s', empty, '--offline'];
  await s.ends(3, offline, /^stowage: \S+: sha256:[0-9a-f]{64} is missing in \S+\/no-store\n/);
  assert.ok(!existsSync(empty));

  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes, { mode: 0o444 });
  const engine = await startEngine(t);
  const before = await machineState({ engine });
  await s.ends(
    3,
    buildArgs(s),
    new RegExp(
      `stowage: one: ${layer} is not what its name says in ${s.store}\n {2}hint: run \`stowage fetch -s ${s.store}\` with the same bundle and pins\n$`,
    ),
    { engine },
  );
  const { containers, volumes } = await machineState({ engine });
  assert.deepEqual([containers, volumes], [before.containers, before.volumes]);
  await s.ends(3, fetchArgs(s, ['--offline']), message('not what its name says'));
});

test('4: what may pass, after four attempts', async (t) => {
  const s = scene(t);
  const through = join(temporaryTree(t), 'bundle.yaml');
  writeFileSync(
    through,
    `stowage: 1\nengine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }\nimages:\n  one: { from: 'docker://${proxy.host}/pair/1:1' }\n`,
  );
  proxy.setFaults([{ match: /\/manifests\//, kind: 'status', status: 503 }]);
  const ended = await runStowage(t, [
    'pin',
    '-b',
    through,
    '-p',
    join(s.dir, 'p.json'),
    '--platform',
    platform,
    '--retry-delays',
    '0,0,0',
  ]);
  assert.equal(ended.code, 4, ended.stderr);
  assert.match(
    ended.stderr,
    /\nstowage: one.*: .*(503|Service Unavailable).* \(4 attempts\)\n {2}hint: this may pass: run it again later, or give a --mirror\n$/,
  );
  assert.deepEqual(
    [...ended.stderr.matchAll(/attempt (\d) of 4 failed/g)].map(([, number]) => number),
    ['1', '2', '3'],
  );
  assert.ok(!existsSync(join(s.dir, 'p.json')));
});

test('5: what the registry refuses or does not have', async (t) => {
  const s = scene(t);
  const pinsOf = async (
    host: string,
    name: string,
    wanted: string,
    expected: RegExp,
  ): Promise<void> => {
    const file = join(temporaryTree(t), 'bundle.yaml');
    writeFileSync(
      file,
      `stowage: 1\nengine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }\nimages:\n  it: { from: 'docker://${host}/${name}' }\n`,
    );
    const to = join(s.dir, 'p.json');
    await s.ends(
      5,
      ['pin', '-b', file, '-p', to, '--platform', wanted, '--retry-delays', '0'],
      expected,
    );
    assert.ok(!existsSync(to));
  };
  await pinsOf(
    registry.host,
    'pair/1:gone',
    platform,
    /stowage: it \(\S+\/pair\/1\): not found: .*\n {2}hint: check name and tag in the bundle/,
  );
  const locked = await startRegistry(t, { users: { somebody: 'with-a-password' } });
  await pinsOf(
    locked.host,
    'pair/1:1',
    platform,
    /stowage: it \(\S+\): the registry wants credentials: .*\n {2}hint: log in/,
  );
  await pinsOf(
    registry.host,
    'pair/1:1',
    'linux/s390x',
    new RegExp(
      `stowage: it: \\S+/pair/1:1\\S* has no image for linux/s390x; it has: ${platform}\n {2}hint: name another image or tag in the bundle; or if the device runs one of these, choose it with --platform\n$`,
    ),
  );
});

/** A PATH with everything but these programs. */
function pathWithout(t: TestContext, ...names: readonly string[]): string {
  const bin = join(temporaryTree(t), 'bin');
  mkdirSync(bin);
  for (const from of PATH_WITH_SBIN.split(':'))
    for (const name of existsSync(from) ? readdirSync(from) : []) {
      const link = join(bin, basename(name));
      if (!names.includes(name) && !existsSync(link))
        try {
          symlinkSync(join(from, name), link);
        } catch {
          // A link to nowhere is there already.
        }
    }
  return bin;
}

test('6: this machine lacks skopeo, an engine, its command, or sudo', async (t) => {
  const s = scene(t);
  const looks = '(`stowage doctor` looks for everything)';
  const apt = `${looks}\n`;
  const toNew = ['pin', '-b', bundle, '-p', join(s.dir, 'p.json'), '--platform', platform];
  await s.ends(
    6,
    toNew,
    `stowage: skopeo is not on this machine\n  hint: install it: sudo apt-get install skopeo ${apt}`,
    {
      env: { PATH: pathWithout(t, 'skopeo') },
    },
  );
  await s.ends(
    6,
    buildArgs(s),
    `stowage: docker is not on this machine\n  hint: install it: sudo apt-get install docker.io ${looks}, or build with --loader direct, which needs no engine\n`,
    {
      env: { PATH: pathWithout(t, 'docker') },
    },
  );
  await s.ends(
    6,
    buildArgs(s),
    /^stowage: no docker engine answers: .*\/nonexistent\/docker\.sock.*\n {2}hint: start it \(sudo systemctl start docker\), or give DOCKER_HOST; `stowage doctor` tells more, and --loader direct needs none\n$/,
  );

  const user = await unprivilegedUser(t);
  const engine = await startEngine(t, { group: user.gid });
  const output = join(user.home, 'data.ext4');
  chmodSync(s.store, 0o755);
  const before = await machineState({ engine });
  const sudoless = await runStowage(
    t,
    ['build', '-b', bundle, '-p', pins, '-s', s.store, '-o', output],
    { user, engine, env: { PATH: pathWithout(t, 'sudo') } },
  );
  assert.equal(sudoless.code, 6, sudoless.stderr);
  assert.ok(
    sudoless.stderr.endsWith(
      `stowage: sudo is not on this machine\n  hint: install it: sudo apt-get install sudo ${apt}`,
    ),
    sudoless.stderr,
  );
  const { containers, volumes } = await machineState({ engine });
  assert.deepEqual([containers, volumes], [before.containers, before.volumes]);
  assert.deepEqual(mountsBelow(user.home), []);
  assert.deepEqual(
    readdirSync(user.home).filter((name) => /data/.test(name)),
    [],
  );
});

test('7: a partition that is too small, and a store that is full', async (t) => {
  const s = scene(t);
  await s.ends(
    7,
    buildArgs(s, ['--size', '1M']),
    /^stowage: no space left in a partition of 1M: \d+M are needed, 1M there are\n {2}hint: give a larger --size \(\d+M should do\), or --size auto\n$/,
  );
  const sized = join(temporaryTree(t), 'sized.yaml');
  writeFileSync(sized, 'stowage: 1\npartition:\n  size: 1M\n');
  await s.ends(
    7,
    buildArgs(s, ['-b', sized]),
    new RegExp(
      `^stowage: no space left in a partition of 1M \\(partition\\.size in ${sized}:3\\): \\d+M are needed, 1M there are\n {2}hint: write a larger partition\\.size in ${sized}:3 \\(\\d+M should do\\), or auto\n$`,
    ),
  );
  writeFileSync(sized, 'stowage: 1\nengine: { containerd: own }\n');
  await s.ends(
    2,
    buildArgs(s, ['-b', sized]),
    `stowage: ${sized}:2:11: engine.containerd: "own" can't be: expected daemon, which is all that --loader dind fills\n${HINT.bundle}`,
  );
  const full = temporaryTree(t);
  await mustAsRoot('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=1777', 'tmpfs', full]);
  try {
    const args = ['fetch', '-b', bundle, '-p', pins, '-s', join(full, 'store')];
    const { code, stderr } = await runStowage(t, args);
    assert.equal(code, 7, stderr);
    assert.match(
      stderr,
      /stowage: no space left in \S+\/store: .* are needed, .* there are\n {2}hint: make room there and run again; what was downloaded is kept\n$/,
    );
    assert.deepEqual(
      existsSync(join(full, 'store', 'staging')) ? readdirSync(join(full, 'store', 'staging')) : [],
      [],
    );
  } finally {
    await mustAsRoot('umount', [full]);
  }
});

test('8: newer than pinned; 0 where nothing is', async (t) => {
  const s = scene(t);
  const moving = await makeImage({ platform, layers: [{ version: 'one' }] });
  await push(registry, 'moving/app:1', moving);
  const file = join(s.dir, 'moving.yaml');
  const at = join(s.dir, 'moving.json');
  writeFileSync(file, text(registry.host).replace('pair/2:1', 'moving/app:1'));
  const args = ['pin', '-b', file, '-p', at, '--platform', platform];
  assert.equal((await runStowage(t, args)).code, 0);
  const same = await runStowage(t, [...args, '--check']);
  assert.equal(same.code, 0, same.stderr);
  assert.ok(same.stdout.startsWith(`${at}: ${platform}: nothing is newer\n`), same.stdout);
  const next = await makeImage({ platform, layers: [{ version: 'two' }] });
  await push(registry, 'moving/app:1', next);
  const before = readFileSync(at, 'utf8');
  const newer = await runStowage(t, [...args, '--check']);
  assert.equal(newer.code, 8, newer.stderr);
  // An answer and no failure, so it is on standard output.
  const [head, columns, row, ...rest] = newer.stdout.split('\n');
  assert.equal(head, `${at}: ${platform}: 1 newer than pinned`);
  assert.match(columns ?? '', /^what +pinned +now$/);
  assert.match(row ?? '', /^two +.*sha256:[0-9a-f]+.* +.*sha256:[0-9a-f]+/);
  assert.deepEqual(rest, ['']);
  assert.equal(readFileSync(at, 'utf8'), before);
});
