import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { must, mustAsRoot, waitFor } from '../rig/process.ts';
import { runStowage, STOWAGE, type StowageOptions } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** How `stowage mkfs` fails: the exit code, one message, and nothing left but what was there before. */
interface Scene {
  readonly dir: string;
  /** Ends with this code and text, `DIR` being the scene's directory. */
  ends(
    code: number,
    args: readonly string[],
    stderr: string | RegExp,
    options?: StowageOptions,
  ): Promise<void>;
}

function scene(t: TestContext): Scene {
  const dir = temporaryTree(t);
  const output = join(dir, 'out');
  mkdirSync(output);
  writeFileSync(join(output, 'x.ext4'), 'from before');
  return {
    dir,
    ends: async (code, args, expected, options = {}) => {
      const { stderr, ...ended } = await runStowage(t, ['mkfs', ...args], { cwd: dir, ...options });
      const text = stderr.replaceAll(dir, 'DIR');
      if (typeof expected === 'string') assert.equal(text, expected);
      else assert.match(text, expected);
      assert.equal(ended.code, code);
      assert.deepEqual(readdirSync(output), ['x.ext4']);
      assert.equal(readFileSync(join(output, 'x.ext4'), 'utf8'), 'from before');
    },
  };
}

const OUT = ['-o', 'out/x.ext4'];
const NOTHING = '  hint: nothing was written\n';

test('what is no tree', async (t) => {
  const s = scene(t);
  const file = (name: string, content: string | Buffer): void => {
    writeFileSync(join(s.dir, name), content);
  };
  file('empty', '');
  file('text', 'no tar\n'.repeat(1000));
  await must('sh', ['-c', 'head -c 300000 /dev/urandom > noise; tar -cf t.tar noise'], {
    cwd: s.dir,
  });
  const tar = readFileSync(join(s.dir, 't.tar'));
  file('cut.tar', tar.subarray(0, 200_000));
  await must('sh', ['-c', 'gzip -k t.tar; zstd -q t.tar; xz -k t.tar'], { cwd: s.dir });
  file('cut.tar.gz', readFileSync(join(s.dir, 't.tar.gz')).subarray(0, 200_000));
  file('cut.tar.zst', readFileSync(join(s.dir, 't.tar.zst')).subarray(0, 200_000));
  await must('tar', ['-cPf', join(s.dir, 'up.tar'), '-C', join(s.dir, 'out'), '../text']);
  const no = (value: string, expected: string): string =>
    `stowage: the input "${value}" can't be: expected ${expected}\n`;
  await s.ends(2, ['missing', ...OUT], no('missing', 'a tar or a directory that exists'));
  await s.ends(2, ['text/x', ...OUT], no('text/x', 'a tar or a directory that exists'));
  await s.ends(3, ['empty', ...OUT], `stowage: empty: it is empty\n${NOTHING}`);
  await s.ends(3, ['-', ...OUT], `stowage: standard input: it is empty\n${NOTHING}`);
  await s.ends(3, ['text', ...OUT], `stowage: text: this is no tar (at byte 0)\n${NOTHING}`);
  await s.ends(
    3,
    ['cut.tar', ...OUT],
    `stowage: cut.tar: "noise": the archive ends in it (at byte 200000)\n${NOTHING}`,
  );
  for (const name of ['cut.tar.gz', 'cut.tar.zst'])
    await s.ends(
      3,
      [name, ...OUT],
      `stowage: ${name}: it ends within its compressed data\n${NOTHING}`,
    );
  await s.ends(
    3,
    ['t.tar.xz', ...OUT],
    `stowage: t.tar.xz: it is compressed by xz, and only gzip and zstd are unpacked\n${NOTHING}`,
  );
  await s.ends(
    3,
    ['up.tar', ...OUT],
    `stowage: up.tar: "../text": it leads out of the tree by \`..\` (at byte 0)\n${NOTHING}`,
  );
});

test('content that no file system takes is told with its place in the archive', async (t) => {
  const s = scene(t);
  await must(
    'python3',
    [
      '-c',
      `import tarfile
def make(name, *members):
    with tarfile.open(name, 'w', format=tarfile.PAX_FORMAT) as tar:
        for path, kind, target in members:
            member = tarfile.TarInfo(path)
            member.type, member.linkname = kind, target
            tar.addfile(member)
make('link.tar', ('b', tarfile.REGTYPE, ''), ('a', tarfile.LNKTYPE, 'c'))
make('long.tar', ('n' * 256, tarfile.REGTYPE, ''))
make('full.tar', ('d', tarfile.DIRTYPE, ''), ('d/f', tarfile.REGTYPE, ''), ('d', tarfile.REGTYPE, ''))
make('below.tar', ('f', tarfile.REGTYPE, ''), ('f/y', tarfile.REGTYPE, ''))`,
    ],
    { cwd: s.dir },
  );
  const cases = [
    [
      'link.tar',
      /^stowage: link\.tar: "a": it is a hard link to what is not there yet \(at byte 512\)\n/,
    ],
    [
      'long.tar',
      /^stowage: long\.tar: "n{256}": a part of its path has 256 bytes.* \(at byte \d+\)\n/,
    ],
    ['full.tar', /^stowage: full\.tar: "d": .* \(at byte 1024\)\n/],
    [
      'below.tar',
      /^stowage: below\.tar: "f\/y": it is below "f", which is no directory \(at byte 512\)\n/,
    ],
  ] as const;
  for (const [name, message] of cases) await s.ends(3, [name, ...OUT], message);
});

test('outputs and options that can not be', async (t) => {
  const s = scene(t);
  await must('tar', ['-cf', join(s.dir, 't.tar'), '-C', '/', 'etc/hostname']);
  const no = (option: string, value: string, expected: string): string =>
    `stowage: ${option} ${JSON.stringify(value)} can't be: expected ${expected}\n`;
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['-o', 'none/x'], no('--output', 'none/x', 'a file in a directory that exists')],
    [['-o', 'out'], no('--output', 'out', 'a file, and no directory or device')],
    [['-o', '/dev/null'], no('--output', '/dev/null', 'a file, and no directory or device')],
    [
      ['-o', 't.tar'],
      no('--output', 't.tar', 'another name: it is the input, and would be replaced'),
    ],
    [[...OUT, '--size', '1e9'], no('--size', '1e9', 'auto, or a size such as 1280M or 2G')],
    [[...OUT, '--owner', 'root'], no('--owner', 'root', 'UID:GID, both as numbers')],
    [[...OUT, '--epoch', 'now'], no('--epoch', 'now', 'seconds since 1970')],
    [[...OUT, '--reserved', '99%'], no('--reserved', '99%', 'a percentage from 0% to 50%')],
  ];
  for (const [args, expected] of cases) await s.ends(2, ['t.tar', ...args], expected);
  await s.ends(2, ['t.tar', ...OUT, '--journal', '5'], /^stowage: --journal "5" can't be: /);
  await s.ends(2, ['t.tar', 't.tar', ...OUT], /^stowage: Unknown argument: t\.tar\n/);
  await s.ends(2, [...OUT], /^stowage: INPUT is not given: stowage mkfs INPUT \[options\]\n/);
  await s.ends(
    2,
    ['.', ...OUT],
    no('--output', 'out/x.ext4', 'a file outside of the tree that goes into it'),
  );
});

test('a size that is too small is told with one that will do', async (t) => {
  const s = scene(t);
  mkdirSync(join(s.dir, 'tree'));
  for (let index = 0; index < 300; index++)
    writeFileSync(join(s.dir, 'tree', `f${index}`), Buffer.alloc(100_000, 'x'));
  const args = ['tree', ...OUT, '--size', '8M'];
  const { code, stdout } = await runStowage(t, ['mkfs', ...args, '--json'], { cwd: s.dir });
  assert.equal(code, 7);
  const { failure } = JSON.parse(stdout) as { failure: { fits: number } };
  await s.ends(
    7,
    args,
    /^stowage: no space left in the image: [\d.]+M are needed, 8M there are\n {2}hint: .*--size/,
  );
  const image = join(s.dir, 'large-enough.ext4');
  const made = await runStowage(
    t,
    ['mkfs', 'tree', '-o', image, '--size', `${failure.fits / 1024 / 1024}M`],
    { cwd: s.dir },
  );
  assert.equal(made.code, 0);
  await runStowage(t, ['mkfs', 'tree', '-o', `${image}2`, '--headroom', '0'], { cwd: s.dir });
  assert.ok(failure.fits < statSync(`${image}2`).size * 1.15, 'no more than it takes');
});

test('an output that is in use is left alone', async (t) => {
  const dir = temporaryTree(t);
  const image = join(dir, 'x.ext4');
  await must('tar', ['-cf', join(dir, 't.tar'), '-C', '/', 'etc/hostname']);
  const args = ['mkfs', 't.tar', '-o', image];
  assert.equal((await runStowage(t, args, { cwd: dir })).code, 0);
  const loop = (await mustAsRoot('losetup', ['--find', '--show', image])).trim();
  try {
    const { code, stderr } = await runStowage(t, args, { cwd: dir });
    assert.equal(code, 2);
    assert.ok(stderr.startsWith(`stowage: ${image} is in use: ${loop}\n`), stderr);
  } finally {
    await mustAsRoot('losetup', ['-d', loop]);
  }
});

test('no getfattr: said so, and --xattrs none does without', async (t) => {
  const s = scene(t);
  mkdirSync(join(s.dir, 'tree'));
  const bin = join(s.dir, 'bin');
  mkdirSync(bin);
  const env = { PATH: bin };
  await s.ends(
    6,
    ['tree', ...OUT],
    'stowage: this machine lacks getfattr, which reads the extended attributes of a directory\n' +
      '  hint: sudo apt-get install attr; or leave them out with --xattrs none\n',
    { env },
  );
  const image = join(s.dir, 'x.ext4');
  const { code } = await runStowage(t, ['mkfs', 'tree', '-o', image, '--xattrs', 'none'], {
    ...{ cwd: s.dir, env },
  });
  assert.equal(code, 0);
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  for (const input of ['-', 'pipe'])
    test(`${signal} while ${input === '-' ? 'standard input' : 'a pipe'} says nothing more`, async (t) => {
      const dir = temporaryTree(t);
      await must('mkfifo', [join(dir, 'pipe')]);
      const tar = join(dir, 't.tar');
      await must('sh', ['-c', 'head -c 3000000 /dev/zero | tr "\\0" x > f; tar -cf t.tar f'], {
        cwd: dir,
      });
      const out = join(dir, 'out');
      mkdirSync(out);
      // Some of a tar, and then nothing, the pipe staying open.
      const source = 'head -c 2000000 t.tar; exec sleep 60';
      const feeder = spawn('sh', ['-c', input === '-' ? source : `exec > pipe; ${source}`], {
        ...{ cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] },
      });
      t.after(() => feeder.kill('SIGKILL'));
      const child = spawn(process.execPath, [STOWAGE, 'mkfs', input, '-o', 'out/x.ext4'], {
        cwd: dir,
        stdio: [input === '-' ? feeder.stdout : 'ignore', 'ignore', 'pipe'],
      });
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      assert.ok(existsSync(tar));
      await waitFor('the image in the making', 20_000, () =>
        readdirSync(out).some((name) => statSync(join(out, name)).size > 1_000_000)
          ? true
          : undefined,
      );
      child.kill(signal);
      assert.equal(await ended, code);
      assert.equal(stderr, `stowage: ended by ${signal}; nothing was left half-done\n`);
      assert.deepEqual(readdirSync(out), []);
    });

test('a file that changes while it is read is told by its name', async (t) => {
  const s = scene(t);
  mkdirSync(join(s.dir, 'tree'));
  const log = join(s.dir, 'tree', 'log');
  writeFileSync(log, Buffer.alloc(300_000_000, 'x'));
  const timer = setInterval(() => {
    appendFileSync(log, 'more');
  }, 1);
  try {
    await s.ends(
      3,
      ['tree', ...OUT],
      `stowage: tree: "log": it changed while it was read\n${NOTHING}`,
    );
  } finally {
    clearInterval(timer);
  }
});
