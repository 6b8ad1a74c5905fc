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

/** Which process of the run, in as many characters always: files of tests run side by side. */
const PROCESS_TAG = process.pid.toString(36).padStart(5, '0');

/** How the name of everything of this process begins, in /tmp and among users. */
export const OUR_NAMES = `stw-${RUN_TAG}${PROCESS_TAG}`;

/** How every path of this process begins. */
export const OUR_PATHS = `/tmp/${OUR_NAMES}`;

/** How every path of the run begins. */
export const PATHS_OF_RUN = `/tmp/stw-${RUN_TAG}`;

/** Of a line that names a mount, loop device, container, program …: made by this process, as its paths tell. */
export function isOurs(line: string): boolean {
  return line.includes(OUR_PATHS);
}

/** The same for the whole run. */
export function isOfRun(line: string): boolean {
  return line.includes(PATHS_OF_RUN);
}
