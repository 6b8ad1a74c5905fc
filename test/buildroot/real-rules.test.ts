import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must, run } from '../rig/process.ts';
import { BUILDROOT_FILES, readCalls, readConfig, ROOT, STAND_IN } from './external-tree.ts';
import { board, configured, made, NO_NETWORK, realTest } from './real-tree.ts';

/** How our packages behave among Buildroot's own; the stand-in for stowage notes how it is called. */
const HELPER = join(STAND_IN, 'stowage.mjs');

realTest('list-defconfigs shows ours; they load, and save unchanged', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const listed = await made(b, ['list-defconfigs']);
  const saved = join(b.out, 'saved');
  const save = ['savedefconfig', `DEFCONFIG=${saved}`];
  for (const file of BUILDROOT_FILES.filter((name) => name.startsWith('configs/'))) {
    const defconfig = file.slice('configs/'.length);
    assert.ok(listed.includes(`  ${defconfig} `), listed);
    assert.ok(!existsSync(join(buildroot, file)), "and it is none of Buildroot's names");
    rmSync(saved, { force: true });
    // In one call: savedefconfig by itself reads every package there is.
    await made(b, [defconfig, ...save]);
    const config = readConfig(join(b.out, '.config'));
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA'), 'y');
    assert.equal(readFileSync(saved, 'utf8'), readFileSync(join(ROOT, file), 'utf8'));
  }
  const last = readFileSync(saved);
  rmSync(saved);
  await made(b, save);
  assert.deepEqual(readFileSync(saved), last, 'nor is it otherwise by itself');
});

realTest('check-package finds nothing in our files', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const files = BUILDROOT_FILES.map((file) => join(b.external, file));
  const outcome = await run('/usr/bin/python3', ['utils/check-package', '-b', ...files], {
    cwd: buildroot,
  });
  assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  assert.match(outcome.stdout + outcome.stderr, /\b0 warnings generated/u);
});

realTest("the stand-in names no symbol that Buildroot doesn't have", async (_t, buildroot) => {
  const standIn = readFileSync(join(STAND_IN, 'Config.in'), 'utf8');
  const symbols = [...standIn.matchAll(/^config (BR2_\w+)$/gmu)].map((match) => match[1] ?? '');
  const packages = ['docker-engine', 'go', 'nodejs', 'skopeo'];
  const places = ['Config.in', 'arch', ...packages.map((name) => `package/${name}`)];
  const config = ['-rhE', '--include=Config.in*', '^\\s*config BR2_', ...places];
  const theirs = await must('grep', config, { cwd: buildroot });
  const defined = new Set(theirs.split('\n').map((line) => line.trim().split(/\s+/u)[1]));
  const missing = symbols.filter((name) => !defined.has(name));
  assert.deepEqual(missing, ['BR2_EXTERNAL_STOWAGE_PATH'], 'which Buildroot makes up by itself');
});

realTest(
  'the packages follow the rules of source, rebuild, external-deps and the reports',
  async (t, buildroot) => {
    const b = await board(t, buildroot, HELPER);
    await made(b, ['stowage_rpi4_64_defconfig']);
    await made(b, ['stowage-data-source']);
    const commands = (): string[] => readCalls(b.log).map(({ command }) => command);
    assert.deepEqual(commands(), ['fetch']);
    await made(b, ['stowage-data'], { under: NO_NETWORK });
    await made(b, ['stowage-data-rebuild'], { under: NO_NETWORK });
    assert.deepEqual(commands(), ['fetch', 'build', 'build']);
    assert.ok(existsSync(join(b.out, 'images/data.ext4')));
    assert.ok(existsSync(join(b.out, 'images/data.json')));
    assert.match(await made(b, ['external-deps']), /^registry\.example\/sample:1@sha256:/mu);
    const infos = (await made(b, ['-s', 'stowage-data-show-info', 'show-info'])).trim().split('\n');
    assert.equal(infos.length, 2);
    for (const info of infos)
      assert.deepEqual(dependenciesOf(info), ['host-skeleton', 'host-stowage']);
    await made(b, ['stowage-data-legal-info', 'stowage-data-all-source']);
  },
);

realTest('per-package directories, make -j and a reproducible build', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const options = ['BR2_PER_PACKAGE_DIRECTORIES=y', 'BR2_REPRODUCIBLE=y', 'BR2_CCACHE=y'];
  await configured(b, 'BR2_aarch64=y', 'BR2_PACKAGE_STOWAGE_DATA=y', ...options);
  await made(b, ['-j4', 'stowage-data'], { under: NO_NETWORK });
  const calls = readCalls(b.log);
  assert.deepEqual(
    calls.map(({ command }) => command),
    ['fetch', 'build'],
  );
  for (const { epoch } of calls) assert.match(epoch ?? 'none', /^\d+$/u);
});

realTest("Buildroot's own Node.js is a dependency on request only", async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const depends = ['-s', 'stowage-data-show-recursive-depends'];
  await configured(b, 'BR2_x86_64=y', 'BR2_PACKAGE_STOWAGE_DATA=y');
  assert.equal((await made(b, depends)).trim(), 'host-skeleton host-stowage');
  await configured(
    b,
    ...['BR2_x86_64=y', 'BR2_PACKAGE_STOWAGE_DATA=y', 'BR2_PACKAGE_HOST_STOWAGE_NODEJS=y'],
  );
  assert.match(await made(b, depends), /\bhost-nodejs\b/u);
});

function dependenciesOf(info: string): readonly string[] | undefined {
  const packages = JSON.parse(info) as Readonly<
    Record<string, { readonly dependencies: readonly string[] }>
  >;
  return packages['stowage-data']?.dependencies;
}
