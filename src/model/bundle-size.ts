import type { Headroom, Size } from './bundle.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

const SIZE = /^([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:iB)?$/;

/** Bytes of `1280M`, `2G`, `1.5GiB` or `1342177280` (units of 1024); undefined for anything else. */
export function parseBytes(text: string | number): number | undefined {
  const [, number, unit = ''] = SIZE.exec(String(text)) ?? [];
  if (number === undefined) return undefined;
  const bytes = Math.round(Number(number) * (UNITS[unit] ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The smallest size that is meant: 1 MiB. A smaller one forgot its unit. */
const SMALLEST = 1024 ** 2;

/** `auto`, or what `parseBytes` reads; undefined for anything else. */
export function parseSize(text: string | number): Size | undefined {
  if (text === 'auto') return 'auto';
  const bytes = parseBytes(text);
  return bytes === undefined || bytes < SMALLEST ? undefined : { bytes };
}

/** Less than a block is no room: whoever gives so little forgot the percent sign. */
const LEAST_HEADROOM = 4096;

/** `10%`, or what `parseBytes` reads, none or at least a block; undefined for anything else. */
export function parseHeadroom(text: string | number): Headroom | undefined {
  const percent = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(String(text))?.[1];
  if (percent !== undefined) {
    return Number(percent) <= 1000 ? { percent: Number(percent) } : undefined;
  }
  const bytes = parseBytes(text);
  return bytes === undefined || isTooLittle(bytes) ? undefined : { bytes };
}

/** What is to be said of a headroom that can't be: why `10` is none. */
export function headroomRemark(text: string | number): string {
  const bytes = parseBytes(text);
  return bytes !== undefined && isTooLittle(bytes)
    ? `; ${text} is ${bytes} bytes, and ${parseFloat(String(text))}% a share`
    : '';
}

function isTooLittle(bytes: number): boolean {
  return bytes > 0 && bytes < LEAST_HEADROOM;
}

/** `5%` or `0%`, at most half; undefined for anything else. */
export function parseReserved(text: string | number): number | undefined {
  const percent = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(String(text))?.[1];
  return percent !== undefined && Number(percent) <= 50 ? Number(percent) : undefined;
}

/** `1280M`, or `1.5M`, as `parseBytes` takes it: never less than it is. */
export function formatSize(bytes: number): string {
  return `${Math.ceil((bytes / 1024 / 1024) * 10) / 10}M`;
}
