// Packs the release archive: the BR2_EXTERNAL tree, the Yocto layer and the compiled stowage, for those without npm.
// What is packed is the last commit, and nothing else, so that the same commit gives the same bytes: to anybody, in
// any directory, with any umask, at any time. Usage: node scripts/dist.mjs [DIRECTORY]
import { Buffer } from 'node:buffer';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'fflate';
import { extract, pack } from 'tar-stream';

/** What Buildroot, bitbake and their users read. What a commit does not have yet is left out. */
const PACKED = [
  ...['external.desc', 'external.mk', 'Config.in', 'configs', 'buildroot-external', 'meta-stowage'],
  ...['schema', 'docs', 'README.md', 'CHANGELOG.md', 'LICENSE'],
];
/** What the program is made of besides. */
const COMPILED = ['src', 'scripts', 'package.json', 'package-lock.json'];

const root = fileURLToPath(new URL('..', import.meta.url));
const directory = resolve(process.argv[2] ?? join(root, 'build', 'release'));

function git(...args) {
  return execFileSync('git', args, { cwd: root, maxBuffer: 1 << 30 });
}

function refuse(text) {
  process.stderr.write(`dist: ${text}\n`);
  process.exit(2);
}

/** A release of what nobody can check out again would be none. */
function refuseChanges() {
  const changes = git('status', '--porcelain', '-uall', '--', ...PACKED, ...COMPILED).toString();
  if (changes !== '')
    refuse(
      `the archive is made of the last commit, and these files are not as in it:\n${changes}Commit them, or take the changes back.`,
    );
}

/** npm notes here what it installed. Another version of a library gives another program. */
function refuseOtherLibraries() {
  const read = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  const installed = read('node_modules/.package-lock.json');
  for (const [name, { version }] of Object.entries(read('package-lock.json')))
    if (name in installed && installed[name].version !== version)
      refuse(`${name} is not of the version in package-lock.json: run \`npm ci\`.`);
}

/** Names with mode and content, as the commit has them, whatever umask and line ends the checkout has. */
async function committed() {
  const there = git('ls-tree', '--name-only', '-z', 'HEAD', '--', ...PACKED)
    .toString()
    .split('\0')
    .filter((name) => name !== '');
  const archive = extract();
  archive.end(git('-c', 'tar.umask=0022', 'archive', '--format=tar', 'HEAD', '--', ...there));
  const members = [];
  for await (const member of archive) {
    const { name, type, linkname, mode } = member.header;
    const content = await buffer(member);
    if (type === 'directory' || type === 'file' || type === 'symlink')
      members.push({ name: name.replace(/\/$/, ''), type, linkname, mode, content });
  }
  return members;
}

/** Compiled now: what lies in dist/ may be of other sources. */
function compiled() {
  const staging = mkdtempSync(join(directory, '.dist-'));
  try {
    const program = join(staging, 'stowage.mjs');
    const build = [join(root, 'scripts', 'build.mjs'), program];
    // It has said what is wrong.
    if (spawnSync(process.execPath, build, { stdio: 'inherit' }).status !== 0) process.exit(1);
    return readFileSync(program);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org), else when the commit was made. */
function date() {
  const epoch = process.env.SOURCE_DATE_EPOCH || git('log', '-1', '--format=%ct').toString();
  if (!/^\d+\s*$/.test(epoch)) refuse(`SOURCE_DATE_EPOCH is no number of seconds: ${epoch}`);
  return new Date(Number(epoch) * 1000);
}

/** In the order of the names' bytes, owned by root: a tar without anything of this machine in it. */
async function packed(top, members) {
  const mtime = date();
  const archive = pack();
  const bytes = buffer(archive);
  const sorted = members.toSorted((a, b) =>
    Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)),
  );
  for (const { name, type, linkname, mode, content } of sorted) {
    const header = {
      name: `${top}/${name}`,
      type,
      mtime,
      uid: 0,
      gid: 0,
      uname: 'root',
      gname: 'root',
    };
    if (type === 'file')
      archive.entry(
        { ...header, mode: mode & 0o100 ? 0o755 : 0o644, size: content.length },
        content,
      );
    else if (type === 'directory') archive.entry({ ...header, mode: 0o755 });
    else archive.entry({ ...header, mode: 0o777, linkname });
  }
  archive.finalize();
  return bytes;
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** A half-written file never has the name. */
function write(file, content) {
  const staging = mkdtempSync(join(directory, '.dist-'));
  try {
    writeFileSync(join(staging, 'file'), content, { mode: 0o644 });
    renameSync(join(staging, 'file'), join(directory, file));
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

refuseChanges();
refuseOtherLibraries();
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const top = `stowage-${version}`;
mkdirSync(directory, { recursive: true });
const members = await committed();
const license = members.find(({ name }) => name === 'LICENSE');
members.push(
  { name: '', type: 'directory' },
  { name: 'dist', type: 'directory' },
  { name: 'dist/stowage.mjs', type: 'file', mode: 0o755, content: compiled() },
);
// Not Node's zlib: its versions compress to other bytes.
const archive = gzipSync(await packed(top, members), { level: 9, mtime: 0 });
const file = `${top}.tar.gz`;
write(file, archive);
write(`${file}.sha256`, `${sha256(archive)}  ${file}\n`);
write(
  `${top}.hash`,
  `# Locally calculated\nsha256  ${sha256(archive)}  ${file}\nsha256  ${sha256(license.content)}  LICENSE\n`,
);
process.stdout.write(`${join(directory, file)}\n`);
