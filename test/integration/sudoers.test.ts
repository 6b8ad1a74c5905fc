import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { asRoot, run } from '../rig/process.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';

/** The first sudoers lines of the page, without the user's name: sudo itself is asked what they allow. */
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'security.md'), 'utf8');
const strict = (/^```sudoers\n(.*?)\n```$/ms.exec(page)?.[1] ?? '')
  .split('\n')
  .map((line) => line.replace(/^builder /, ''));

test('the strict lines allow no other mount', async (t) => {
  const user = await unprivilegedUser(t, strict);
  const image = '/tmp/.x.stowage/data.ext4';
  const refused: string[][] = [
    ['/usr/bin/mount', '-t', 'ext4', '-o', 'loop', image, '/tmp/.x.stowage/mnt/data'],
    ['/usr/bin/mount', '-t', 'ext4', '-o', 'loop,nosuid,nodev,noexec,nobarrier', image, '/etc'],
    ['/usr/bin/mount', '--bind', image, '/tmp/.x.stowage/mnt'],
    ['/usr/bin/mount', '--bind', '--make-private', '--make-shared', '/etc', '/tmp/.x.stowage/mnt'],
    ['/usr/bin/mount', '--bind', '--make-private', '--make-shared', '/tmp/.x.stowage/mnt', '/etc'],
    ['/usr/bin/mount', '--make-private', '--make-shared', '/'],
    ['/usr/bin/mount', '--make-private', '/'],
    ['/usr/bin/umount', '/proc'],
    ['/usr/bin/umount', '-l', '/tmp/.x.stowage/mnt'],
    ['/usr/bin/umount', '/tmp/.x.stowage/mnt/other'],
    ['/bin/sh'],
  ];
  const asks = async (command: readonly string[]): Promise<boolean> => {
    const args = ['--user', user.name, '--', 'sudo', '-n', '-l', ...command];
    return (await run(...asRoot('runuser', args))).code === 0;
  };
  for (const command of refused) assert.equal(await asks(command), false, command.join(' '));
  const options = 'loop,nosuid,nodev,noexec,nobarrier';
  const shared = '/tmp/.x.stowage/mnt';
  const allowed: string[][] = [
    ['/usr/bin/mount', '-t', 'ext4', '-o', options, image, `${shared}/data`],
    ['/usr/bin/mount', '--bind', '--make-private', '--make-shared', shared, shared],
    ['/usr/bin/mount', '--make-private', '--make-shared', shared],
    ['/usr/bin/umount', `${shared}/data`],
    ['/usr/bin/umount', shared],
  ];
  for (const command of allowed) assert.equal(await asks(command), true, command.join(' '));
});
