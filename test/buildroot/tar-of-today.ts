import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../rig/process.ts';

/**
 * Packages without a source need a tar of at least 1.35, or Buildroot downloads and builds one; what 1.35 does
 * otherwise than 1.34 matters for archives only, which are not made here.
 */
export async function tarOfToday(dir: string): Promise<string> {
  const tar = join(dir, 'tar');
  writeFileSync(
    tar,
    `#!/bin/sh\n[ "$1" = --version ] && { echo 'tar (GNU tar) 1.35'; exit; }\nexec /usr/bin/tar "$@"\n`,
  );
  chmodSync(tar, 0o755);
  await must(tar, ['--version']);
  return tar;
}
