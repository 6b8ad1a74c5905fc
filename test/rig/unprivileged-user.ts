import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atEnd, type Owner } from './owner.ts';
import { asRoot, must, mustAsRoot, run, waitFor } from './process.ts';
import { OUR_NAMES } from './run-tag.ts';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/**
 * A system user who may do nothing but what `sudoers` says: lines without the user's name, such as
 * `ALL=(root) NOPASSWD: /usr/bin/mount`. Gone at the end, with home and rules.
 */
export async function unprivilegedUser(
  owner: Owner,
  sudoers: readonly string[] = [],
): Promise<User> {
  const name = `${OUR_NAMES}${randomBytes(3).toString('hex')}`;
  // In /tmp and not in /home, which may be on another file system or forbid system users.
  const home = join('/tmp', `${name}-home`);
  const rules = join('/etc/sudoers.d', name);
  atEnd(owner, async () => {
    await mustAsRoot('rm', ['-rf', '--one-file-system', rules, home]);
    if ((await run('id', ['-u', name])).code === 0) await change('userdel', [name]);
  });
  await change('useradd', [
    ...['--system', '--user-group', '--create-home', '--home-dir', home, '--shell', '/bin/sh'],
    name,
  ]);
  await mustAsRoot('chmod', ['0755', home]);
  const uid = Number(await must('id', ['-u', name]));
  const gid = Number(await must('id', ['-g', name]));
  // Whoever runs the tests puts stowage there, and may not be root.
  await mustAsRoot('chown', [`${uid}:${process.getgid?.() ?? 0}`, home]);
  await mustAsRoot('chmod', ['0775', home]);
  if (sudoers.length > 0)
    await installRules(rules, sudoers.map((line) => `${name} ${line}\n`).join(''));
  return { name, uid, gid, home };
}

/** Another file of tests may be changing /etc/passwd: such programs do not wait for its lock, and end with 1. */
async function change(program: string, args: readonly string[]): Promise<void> {
  await waitFor(`${program} gets the lock of /etc/passwd`, 10_000, async () => {
    const { code, stderr } = await run(...asRoot(program, args));
    if (code === 0) return true;
    if (stderr.includes('try again later')) return undefined;
    throw new Error(`${program} ended with ${code}: ${stderr}`);
  });
}

/** A mistake in /etc/sudoers.d locks everybody out of sudo: visudo looks first. */
async function installRules(file: string, text: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'stw-sudoers-'));
  try {
    const draft = join(dir, 'rules');
    writeFileSync(draft, text, { mode: 0o440 });
    await must('visudo', ['-cf', draft]);
    await mustAsRoot('install', ['-m', '0440', '-o', 'root', '-g', 'root', draft, file]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
