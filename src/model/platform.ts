import type { UnknownPlatform } from './failure.ts';
import type { Result } from './result.ts';
import { fail, ok } from './result.ts';

/**
 * What a device runs, in the words of Go (GOOS, GOARCH, and the variant of OCI image-spec
 * image-index.md, "platform"). Always normalised: arm64 has no variant unless it is not v8, arm always has one.
 */
export interface Platform {
  readonly os: 'linux';
  readonly arch: string;
  readonly variant?: string;
}

/** GOARCH values that Linux images are made for: `go tool dist list`. */
const ARCHITECTURES: readonly string[] = [
  '386',
  'amd64',
  'arm',
  'arm64',
  'loong64',
  'mips',
  'mips64',
  'mips64le',
  'mipsle',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
];

/** What Buildroot (BR2_ARCH), Yocto (TARGET_ARCH, TUNE_PKGARCH), uname and Debian call them. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  aarch64: 'arm64',
  armv8: 'arm64',
  armv8a: 'arm64',
  armhf: 'arm/v7',
  armv7: 'arm/v7',
  armv7a: 'arm/v7',
  armv7l: 'arm/v7',
  armv7hf: 'arm/v7',
  armv7ve: 'arm/v7',
  armv6: 'arm/v6',
  armv6l: 'arm/v6',
  armv6hf: 'arm/v6',
  armel: 'arm/v5',
  armv5: 'arm/v5',
  armv5e: 'arm/v5',
  armv5te: 'arm/v5',
  armv5tel: 'arm/v5',
  armv5tejl: 'arm/v5',
  i386: '386',
  i486: '386',
  i586: '386',
  i686: '386',
  x86: '386',
  x86_64: 'amd64',
  'x86-64': 'amd64',
  loongarch64: 'loong64',
  mipsel: 'mipsle',
  mips64el: 'mips64le',
  powerpc64: 'ppc64',
  powerpc64le: 'ppc64le',
  ppc64el: 'ppc64le',
};

/** The variants there are (OCI image-spec, image-index.md, "Platform Variants"; GOAMD64 for amd64). */
const VARIANTS: Readonly<Record<string, RegExp>> = {
  arm: /^v[5-8]$/,
  arm64: /^v[89](?:\.\d)?$/,
  amd64: /^v[1-4]$/,
};

/**
 * Reads a platform in any of its spellings: `linux/arm64`, `linux/arm64/v8`, `arm/v7`, a bare GOARCH, and the names
 * that Buildroot, Yocto, Debian and uname use. Big-endian ARM (`aarch64_be`, `armeb`) has no GOARCH and is unknown.
 */
export function parsePlatform(text: string): Result<Platform, UnknownPlatform> {
  const unknown = fail<UnknownPlatform>({ reason: 'unknown-platform', given: text });
  const parts = text.toLowerCase().split('/');
  if (parts[0] === 'linux') parts.shift();
  const [word = '', variant, ...rest] = parts;
  if (rest.length > 0 || variant === '') return unknown;
  const goName = Object.hasOwn(OTHER_NAMES, word) ? OTHER_NAMES[word] : undefined;
  const [arch = word, meant] = (goName ?? word).split('/');
  // `armhf/v6` contradicts itself.
  if (meant !== undefined && variant !== undefined && meant !== variant) return unknown;
  const platform = platformOf('linux', arch, variant ?? meant);
  return platform === undefined ? unknown : ok(platform);
}

/**
 * The platform that an image config or an index entry states (`os`, `architecture`, `variant`), normalised; undefined
 * where it is none that a Linux device has: `unknown/unknown`, Windows, a variant that nobody defined.
 */
export function platformOf(os: unknown, arch: unknown, variant?: unknown): Platform | undefined {
  if (os !== 'linux' || typeof arch !== 'string' || !ARCHITECTURES.includes(arch)) return undefined;
  const stated = normaliseVariant(arch, typeof variant === 'string' ? variant : '');
  if (stated === '') return { os, arch };
  return VARIANTS[arch]?.test(stated) === true ? { os, arch, variant: stated } : undefined;
}

/** `linux/arm64`, `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  const variant = platform.variant === undefined ? '' : `/${platform.variant}`;
  return `${platform.os}/${platform.arch}${variant}`;
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return a.arch === b.arch && a.variant === b.variant;
}

/**
 * Where in `offered` the one is that a device of platform `wanted` runs best, or undefined where none runs there.
 * The first of equals.
 *
 * The order is containerd's (platforms/compare.go): the exact variant, then the older ones of the same
 * architecture, newest first, because a v7 core runs v6 and v5 code. An offer of arm that states no variant
 * counts as v7, and arm64 without one as v8, since `platformOf` normalises both. Unlike containerd, arm64 never
 * takes arm: not every 64-bit core runs 32-bit code, and a wrong architecture must not pass unseen.
 */
export function choosePlatform(
  wanted: Platform,
  offered: readonly (Platform | undefined)[],
): number | undefined {
  for (const variant of variantsRunBy(wanted)) {
    const index = offered.findIndex(
      (offer) => offer?.arch === wanted.arch && (offer.variant ?? '') === variant,
    );
    if (index >= 0) return index;
  }
  return undefined;
}

/** Normalised variants that run there, best first; '' for none stated. */
function variantsRunBy({ arch, variant = '' }: Platform): readonly string[] {
  switch (arch) {
    case 'arm':
      return downFrom(Number(variant.slice(1)), 5).map((step) => `v${step}`);
    case 'arm64': {
      const [major = 8, minor = 0] = variant === '' ? [] : variant.slice(1).split('.').map(Number);
      const v8 = (newest: number): string[] => [...downFrom(newest, 1).map((n) => `v8.${n}`), ''];
      // v9.n includes v8.(n+5): Arm Architecture Reference Manual, A2.
      return major === 9
        ? [...downFrom(minor, 1).map((n) => `v9.${n}`), 'v9', ...v8(minor + 5)]
        : v8(minor);
    }
    case 'amd64':
      return [
        ...downFrom(Number(variant === '' ? 1 : variant.slice(1)), 2).map((n) => `v${n}`),
        '',
      ];
    default:
      return [variant];
  }
}

function downFrom(newest: number, oldest: number): number[] {
  return Array.from({ length: Math.max(0, newest - oldest + 1) }, (_, index) => newest - index);
}

/** '' where the variant is the one that is not written. */
function normaliseVariant(arch: string, variant: string): string {
  if (arch === 'arm') return variant === '' ? 'v7' : variant.replace(/^(?=\d$)/, 'v');
  if (arch === 'arm64')
    return /^v?8(?:\.0)?$/.test(variant) ? '' : variant.replace(/^v9\.0$/, 'v9');
  return arch === 'amd64' && variant === 'v1' ? '' : variant;
}
