import type { TestContext } from 'node:test';

/** What may be missing on any machine: trees that only some developers have, a right that sandboxes keep from root. */
const MAY_BE_ABSENT: readonly string[] = [
  'BUILDROOT_DIR',
  'HAOS_DIR',
  'BITBAKE_DIR',
  'SPDX_SCHEMA',
  'CAP_SYS_RESOURCE',
];

/**
 * Skips a test for want of `capability`, which is named in the report. In CI that is a failure: there
 * the machine is ours, so a test that can't run is a set-up that is broken.
 */
export function skip(t: TestContext, capability: string): void {
  if (inCi() && !mayBeAbsent(capability))
    throw new Error(`this machine lacks ${capability}, and in CI no test is skipped`);
  t.skip(capability);
}

/** Is the reason of this skip one that CI accepts? test/run.ts asks again, for skips made without the rig. */
export function mayBeAbsent(reason: string): boolean {
  return MAY_BE_ABSENT.some((name) => reason.startsWith(name));
}

export function inCi(): boolean {
  const ci = process.env['CI'];
  return ci !== undefined && ci !== '' && ci !== 'false';
}

/** `few` in an ordinary run, `many` in `make soak`. */
export function rounds(few: number, many: number): number {
  return process.env['STOWAGE_SOAK'] === '1' ? many : few;
}
