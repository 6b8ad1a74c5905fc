import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { debianSource } from './dind-image.ts';
import { must } from './process.ts';

/** The suite that has it: Debian's stable releases up to trixie do not. */
const SUITE = 'forky';
/** SPDX's library, and what its reader of JSON and its validator import. */
const PACKAGES = [
  ...['python3-spdx-tools', 'python3-license-expression', 'python3-boolean'],
  ...['python3-beartype', 'python3-uritools'],
];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const JUDGE = join(import.meta.dirname, 'spdx-judge', 'judge.py');

/** What it complains of in each of the files, which are SPDX documents as JSON, in their order. */
export type SpdxJudge = (files: readonly string[]) => Promise<readonly (readonly string[])[]>;

/**
 * SPDX's own library for Python as a judge of documents, run by this machine's python3. It lies in build/spdx-tools/ and
 * is taken from Debian's packages (1 MB) once, some 10 seconds, over the mirror that apt uses and with no right of root.
 * Only where `offersDebian`.
 */
export async function spdxJudge(): Promise<SpdxJudge> {
  const library = join(await unpacked(), 'usr', 'lib', 'python3', 'dist-packages');
  // Isolated: of this machine's own Python packages none is taken.
  const python = ['-I', JUDGE, library];
  return async (files) =>
    (await must('python3', [...python, ...files]))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as string[]);
}

async function unpacked(): Promise<string> {
  const parent = fileURLToPath(new URL('../../build/spdx-tools', import.meta.url));
  const root = join(parent, SUITE);
  if (existsSync(root)) return root;
  const { mirror } = await debianSource(SUITE);
  await mkdir(parent, { recursive: true });
  const staging = await mkdtemp(`${root}.`);
  try {
    await download(staging, mirror);
    const archives = readdirSync(staging).filter((file) => file.endsWith('.deb'));
    for (const archive of archives)
      await must('dpkg-deb', ['--extract', join(staging, archive), join(staging, 'root')]);
    await rename(join(staging, 'root'), root).catch((error: unknown) => {
      // Another process was sooner, and its result will do.
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return root;
}

/** With lists of packages of its own: this machine's apt knows its own suite alone, and is to stay so. */
async function download(dir: string, mirror: string): Promise<void> {
  const lists = join(dir, 'lists');
  const sources = join(dir, 'sources.list');
  await mkdir(join(lists, 'partial'), { recursive: true });
  await mkdir(join(dir, 'archives', 'partial'), { recursive: true });
  const signed = existsSync(KEYRING) ? ` [signed-by=${KEYRING}]` : '';
  await writeFile(sources, `deb${signed} ${mirror} ${SUITE} main\n`);
  const options = [
    ...[`Dir::Etc::sourcelist=${sources}`, 'Dir::Etc::sourceparts=/dev/null'],
    ...[`Dir::State::lists=${lists}`, `Dir::Cache=${dir}`, 'Acquire::Languages=none'],
    // The mirror may be a snapshot that was frozen long ago.
    ...[
      'Acquire::Check-Valid-Until=false',
      'APT::Sandbox::User=root',
      'APT::Update::Error-Mode=any',
    ],
  ].flatMap((option) => ['-o', option]);
  const apt = (...args: string[]): Promise<string> =>
    must('apt-get', ['-q', ...options, ...args], { cwd: dir });
  await apt('update');
  await apt('download', ...PACKAGES);
}
