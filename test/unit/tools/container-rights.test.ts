import assert from 'node:assert/strict';
import { it } from 'node:test';
import { rightsArguments } from '../../../src/tools/container-rights.ts';
import type { FoundEngine } from '../../../src/tools/find-engine.ts';

const DOCKER: FoundEngine = {
  command: 'docker',
  client: 'docker',
  server: 'docker',
  version: '28.2.2',
  remapsUsers: false,
};
const rights = { capabilities: ['SYS_ADMIN', 'CHOWN'], privileged: false };

it('drops every capability that is not asked for, and turns off no filter but those that deny mounts', () => {
  assert.deepEqual(rightsArguments(rights, DOCKER, 20_000), [
    '--cap-drop=ALL',
    '--cap-add=SYS_ADMIN',
    '--cap-add=CHOWN',
    '--security-opt=no-new-privileges',
    '--security-opt=apparmor=unconfined',
    '--security-opt=label=disable',
    '--read-only',
    '--network=none',
  ]);
});

it('gives every right only where that was asked for, and no network even then', () => {
  const flags = rightsArguments({ ...rights, privileged: true }, DOCKER, 20_000);
  assert.deepEqual(flags, ['--privileged', '--read-only', '--network=none']);
});

it('keeps user IDs as they are where the engine would shift them', () => {
  const shifting = { ...DOCKER, remapsUsers: true };
  assert.ok(rightsArguments(rights, shifting, 1).includes('--userns=host'));
});

it('asks Podman for no limit that only a process with more rights could raise', () => {
  for (const client of ['docker', 'podman'] as const) {
    const podman = { ...DOCKER, client, server: 'podman' as const };
    assert.deepEqual(rightsArguments(rights, podman, 20_000).slice(-2), [
      '--ulimit=nofile=1024:20000',
      '--ulimit=nproc=1000:1000',
    ]);
  }
});
