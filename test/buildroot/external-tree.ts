import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must } from '../rig/process.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const STAND_IN = join(ROOT, 'test', 'buildroot', 'stand-in');
const PARTS = [
  'external.desc',
  'external.mk',
  'Config.in',
  'configs',
  'buildroot-external',
  'LICENSE',
];

/** Our files that Buildroot reads, relative to the repository's root. */
export const BUILDROOT_FILES = [
  'external.desc',
  'external.mk',
  'Config.in',
  'configs/stowage_generic_aarch64_defconfig',
  'configs/stowage_generic_x86_64_defconfig',
  'configs/stowage_green_defconfig',
  'configs/stowage_khadas_vim3_defconfig',
  'configs/stowage_odroid_c2_defconfig',
  'configs/stowage_odroid_c4_defconfig',
  'configs/stowage_odroid_m1_defconfig',
  'configs/stowage_odroid_m1s_defconfig',
  'configs/stowage_odroid_n2_defconfig',
  'configs/stowage_ova_defconfig',
  'configs/stowage_rpi3_64_defconfig',
  'configs/stowage_rpi4_64_defconfig',
  'configs/stowage_rpi5_64_defconfig',
  'configs/stowage_yellow_defconfig',
  'buildroot-external/package/stowage/Config.in.host',
  'buildroot-external/package/stowage/stowage.mk',
  'buildroot-external/package/stowage-data/Config.in',
  'buildroot-external/package/stowage-data/pinned-images.awk',
  'buildroot-external/package/stowage-data/stowage-data-check.mk',
  'buildroot-external/package/stowage-data/stowage-data.mk',
] as const;

/** Copies the BR2_EXTERNAL tree into `dir`, with `helper` (absent: none) as its compiled stowage. */
export function copyExternalTree(dir: string, helper?: string): string {
  mkdirSync(dir, { recursive: true });
  for (const part of PARTS)
    cpSync(join(ROOT, part), join(dir, part), { recursive: true, verbatimSymlinks: true });
  if (helper !== undefined) cpSync(helper, join(dir, 'dist', 'stowage.mjs'));
  return dir;
}

/** How the stand-in for stowage was called. */
export interface Call {
  readonly command: string;
  readonly args: readonly string[];
  readonly umask: string;
  /** SOURCE_DATE_EPOCH. */
  readonly epoch?: string;
  /** The node that ran it. */
  readonly node: string;
}

export function readCalls(log: string): Call[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Call);
}

/**
 * Reads `lines` as a .config and completes it with the defaults, as `make olddefconfig` does, by Debian's
 * kconfig-conf over stand-ins for Buildroot's symbols. Returns what it wrote to `dir`/.config, unquoted.
 */
export async function configure(
  dir: string,
  external: string,
  lines: readonly string[],
): Promise<Map<string, string>> {
  writeFileSync(join(dir, 'defconfig'), `${lines.join('\n')}\n`);
  await kconfig(dir, external, [`--defconfig=${join(dir, 'defconfig')}`]);
  return readConfig(join(dir, '.config'));
}

/** Runs kconfig-conf over the stand-in. Throws where it fails or warns. */
export async function kconfig(
  dir: string,
  external: string,
  options: readonly string[],
): Promise<void> {
  const said = await must(
    'sh',
    ['-c', 'exec 2>&1; exec kconfig-conf "$@"', 'sh', ...options, join(STAND_IN, 'Config.in')],
    {
      cwd: dir,
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        LC_ALL: 'C',
        // Buildroot's symbols have BR2_ in their names, and no prefix in the file.
        CONFIG_: '',
        KCONFIG_CONFIG: join(dir, '.config'),
        BR2_EXTERNAL_STOWAGE_PATH: external,
      },
    },
  );
  const complaints = said.split('\n').filter((line) => /warning|error|unknown/iu.test(line));
  if (complaints.length > 0) throw new Error(complaints.join('\n'));
}

export function readConfig(file: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const match = /^(BR2_\w+)=(?:"(.*)"|(.*))$/u.exec(line);
    if (match?.[1] !== undefined) values.set(match[1], match[2] ?? match[3] ?? '');
  }
  return values;
}
