import type { Rights } from '../../tools/container-rights.ts';

/**
 * What the engine in the container needs to write any image's files onto the partition, found by starting from
 * nothing and taken away one by one again in the tests. docs/security.md says what each is for, and
 * how its absence shows.
 */
const CAPABILITIES = [
  'SYS_ADMIN',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'MKNOD',
  'SETFCAP',
  'SYS_CHROOT',
] as const;

export function engineRights(privileged: boolean): Rights {
  return { capabilities: CAPABILITIES, privileged };
}
