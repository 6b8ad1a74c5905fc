import { randomBytes } from 'node:crypto';

/**
 * Four characters in the name of everything that this run of the tests makes outside the checkout. Others may
 * run tests on the same machine at the same time; what they leave is none of our business.
 */
export const RUN_TAG = process.env['STOWAGE_TEST_RUN'] ?? randomBytes(2).toString('hex');

/** For the tests that this process starts: they are the same run. */
export function shareRunTag(): void {
  process.env['STOWAGE_TEST_RUN'] = RUN_TAG;
}

/** How the name of everything of this run begins, in /tmp and among users. */
export const OUR_NAMES = `stw-${RUN_TAG}`;

/** How every path of ours begins. */
export const OUR_PATHS = `/tmp/${OUR_NAMES}`;

/** Of a line that names a mount, loop device, container, program …: made by this run, as its paths tell. */
export function isOurs(line: string): boolean {
  return line.includes(OUR_PATHS);
}
