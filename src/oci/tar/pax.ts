import { TarError } from './tar-error.ts';

/** A time as PAX has it, to the nanosecond. */
export interface TarTime {
  /** Since 1970, may be negative. */
  readonly seconds: number;
  /** 0 to 999,999,999, to be added. */
  readonly nanoseconds: number;
}

/** The records of an extended header in their order: keys as latin1, values as bytes. */
export type PaxRecord = readonly [key: string, value: Uint8Array];

/** Digits of a record's length, with the one blank after them. */
const LONGEST_LENGTH = 8;

/**
 * An extended header's records, `<length> <key>=<value>\n` each (IEEE Std 1003.1, pax Extended Header). Throws a
 * `TarError` on what is none; `offset` is where `data` is in the archive.
 */
export function parsePax(data: Uint8Array, offset: number): PaxRecord[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  const records: PaxRecord[] = [];
  for (let at = 0; at < bytes.length;) {
    const bad = (detail: string): TarError =>
      new TarError(`its extended header ${detail}`, offset + at);
    // Some writers pad with NULs.
    if (bytes[at] === 0) break;
    const blank = bytes.subarray(at, at + LONGEST_LENGTH).indexOf(0x20);
    const digits = bytes.toString('latin1', at, at + Math.max(blank, 0));
    if (!/^\d+$/.test(digits)) throw bad('has a record without a length');
    const end = at + Number(digits);
    if (end > bytes.length) throw bad('has a record that goes beyond its end');
    if (end <= at + blank + 1 || bytes[end - 1] !== 0x0a)
      throw bad('has a record whose length is wrong');
    const record = bytes.subarray(at + blank + 1, end - 1);
    const equals = record.indexOf(0x3d);
    if (equals <= 0) throw bad('has a record without a key');
    records.push([record.toString('latin1', 0, equals), Buffer.from(record.subarray(equals + 1))]);
    at = end;
  }
  return records;
}

/** A decimal integer from 0 to 2^53 - 1, or undefined. */
export function parseDecimal(value: Uint8Array): number | undefined {
  const text = latin1(value);
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** `-12.5` and the like; digits beyond nanoseconds are cut off. Undefined for what is no time. */
export function parseTime(value: Uint8Array): TarTime | undefined {
  const [, sign, whole = '', fraction = ''] =
    /^([+-]?)(\d{1,15})(?:\.(\d*))?$/.exec(latin1(value)) ?? [];
  if (sign === undefined) return undefined;
  const seconds = Number(whole);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign !== '-') return { seconds, nanoseconds };
  // -1.5 is two seconds before 1970, and half a second later.
  return nanoseconds === 0
    ? { seconds: seconds === 0 ? 0 : -seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

export function latin1(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
}
