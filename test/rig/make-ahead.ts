import { DIND_SUITES, dindImage, offersDebian } from './dind-image.ts';
import { spdxJudge } from './spdx-judge.ts';
import { userModeLinux } from './user-mode-linux.ts';

/**
 * Makes what integration tests keep in build/ and what takes long on a fresh machine, mostly for waiting for a mirror.
 * Who wants it and finds nothing makes it: what fails here fails there too, and is told there.
 */
export async function makeAhead(): Promise<void> {
  const debian = await offersDebian().catch(() => false);
  const makers = [
    ...(debian ? [DIND_SUITES['26.1'], DIND_SUITES['20.10']] : []).map(
      (suite) => () => dindImage(undefined, { suite }),
    ),
    ...(debian ? [spdxJudge] : []),
    userModeLinux,
  ];
  for (const make of makers) await make().catch(() => undefined);
}
