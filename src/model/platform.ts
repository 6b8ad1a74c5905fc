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

/** What Buildroot, Yocto, uname and Debian call them. */
const ALIASES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  i386: '386',
  i486: '386',
  i586: '386',
  i686: '386',
  x86: '386',
  aarch64: 'arm64',
  armv8: 'arm64',
  armv7: 'arm/v7',
  armv7a: 'arm/v7',
  armv7l: 'arm/v7',
  armv7hf: 'arm/v7',
  armhf: 'arm/v7',
  armv6: 'arm/v6',
  armv6l: 'arm/v6',
  armv6hf: 'arm/v6',
  armv5: 'arm/v5',
  armv5te: 'arm/v5',
  armel: 'arm/v5',
  powerpc64le: 'ppc64le',
  mipsel: 'mipsle',
  mips64el: 'mips64le',
  loongarch64: 'loong64',
};

/** GOARCH values that Linux images exist for: `go tool dist list`. */
const ARCHITECTURES = new Set([
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
]);

/** Reads `linux/arm/v7`, `arm64`, `linux/arm64/v8`, or the build systems' names: `aarch64`, `armv7`, … */
export function parsePlatform(text: string): Result<Platform, UnknownPlatform> {
  const unknown = fail({ reason: 'unknown-platform', given: text } as const);
  const parts = text.toLowerCase().split('/');
  if (parts[0] === 'linux') parts.shift();
  const [first = '', ...rest] = parts;
  const [arch = '', variant, ...more] = [...(ALIASES[first] ?? first).split('/'), ...rest];
  if (more.length > 0 || !ARCHITECTURES.has(arch)) return unknown;
  if (variant !== undefined && !/^v[0-9](\.[0-9])?$/.test(variant)) return unknown;
  if (arch === 'arm' && variant !== undefined && !/^v[5-8]$/.test(variant)) return unknown;
  return ok(normalise(arch, variant));
}

/** Reads what an image says of itself; undefined for another system than Linux and for attestations. */
export function platformOf(os: unknown, arch: unknown, variant: unknown): Platform | undefined {
  if (os !== 'linux' || typeof arch !== 'string' || arch === '' || arch === 'unknown')
    return undefined;
  return normalise(arch, typeof variant === 'string' && variant !== '' ? variant : undefined);
}

/** `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  const variant = platform.variant === undefined ? '' : `/${platform.variant}`;
  return `${platform.os}/${platform.arch}${variant}`;
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return a.arch === b.arch && a.variant === b.variant;
}

/**
 * The offer that a device of platform `wanted` takes, by position: the very same, else for arm the next lower
 * variant, as containerd's platforms.Only does on the device. Undefined where there is none.
 */
export function choosePlatform(
  wanted: Platform,
  offered: readonly (Platform | undefined)[],
): number | undefined {
  for (const candidate of candidates(wanted)) {
    const index = offered.findIndex(
      (offer) => offer !== undefined && samePlatform(offer, candidate),
    );
    if (index >= 0) return index;
  }
  return undefined;
}

function candidates(wanted: Platform): Platform[] {
  if (wanted.arch !== 'arm') return [wanted];
  const newest = Number(wanted.variant?.slice(1) ?? 7);
  return Array.from({ length: newest - 4 }, (_, i) => ({
    os: 'linux',
    arch: 'arm',
    variant: `v${newest - i}`,
  }));
}

function normalise(arch: string, variant: string | undefined): Platform {
  if (arch === 'arm64' && variant === 'v8') return { os: 'linux', arch };
  // An arm image without a variant is taken for v7 by Docker and containerd alike.
  if (arch === 'arm' && variant === undefined) return { os: 'linux', arch, variant: 'v7' };
  if (arch === 'amd64' && variant === 'v1') return { os: 'linux', arch };
  return { os: 'linux', arch, ...(variant === undefined ? {} : { variant }) };
}
