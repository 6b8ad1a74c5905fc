import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { replaceFile } from '../store/content.ts';
import { acquireLock } from '../store/store-lock.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { Bundle } from '../model/bundle.ts';
import { readBundles } from '../model/bundle-document.ts';
import type { Context } from '../model/event.ts';
import type { InvalidDocument } from '../model/failure.ts';
import type { Pins, TargetPins } from '../model/pins.ts';
import { formatPins, parsePins, targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** The user's files, as the verbs take them. */

export async function readBundleFiles(paths: readonly string[]): Promise<Result<Bundle>> {
  const files: { path: string; text: string }[] = [];
  for (const path of paths) {
    const text = await readText(path, 'bundle');
    if (!text.ok) return text;
    files.push({ path, text: text.value });
  }
  return readBundles(files);
}

/** Undefined where there is no such file. */
export async function readPinsFile(file: string): Promise<Result<Pins | undefined>> {
  try {
    return parsePins(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ok(undefined);
    return fail(unreadable(error, file, 'pins'));
  }
}

/**
 * Puts one target's pins into the file, whatever other targets another process has put there meanwhile, and writes
 * it only where its text changes; tells whether it did.
 */
export async function putTarget(
  file: string,
  target: TargetPins,
  context: Context,
): Promise<Result<boolean>> {
  const path = resolve(file);
  try {
    if (!(await stat(dirname(path))).isDirectory()) return noDirectory(file);
  } catch {
    return noDirectory(file);
  }
  const name = join(dirname(path), `.${basename(path)}.stowage.lock`);
  const lock = await acquireLock(name, context, { what: file });
  if (!lock.ok) return lock;
  try {
    const pins = await readPinsFile(file);
    if (!pins.ok) return pins;
    const text = formatPins({
      targets: { ...pins.value?.targets, [targetKey(target.target)]: target },
    });
    if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return ok(false);
    await replaceFile(path, text);
    return ok(true);
  } catch (error) {
    return fail(fileFailure(error, file, 'writing the pins'));
  } finally {
    await lock.value.release();
  }
}

function noDirectory(file: string): Result<never> {
  return fail({
    reason: 'invalid-option',
    option: '--pins',
    value: file,
    expected: 'a file in a directory that exists',
  });
}

export async function readText(
  path: string,
  kind: InvalidDocument['kind'],
): Promise<Result<string>> {
  try {
    return ok(await readFile(path, 'utf8'));
  } catch (error) {
    return fail(unreadable(error, path, kind));
  }
}

/** `--set a=b --set c=d`. */
export function parseSettings(settings: readonly string[] = []): Result<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    if (equals < 1)
      return fail({
        reason: 'invalid-option',
        option: '--set',
        value: setting,
        expected: 'NAME=VALUE',
      });
    values[setting.slice(0, equals)] = setting.slice(equals + 1);
  }
  return ok(values);
}

/** Seconds: a day. A timer can't wait for more than 24 of them, and then does not wait at all. */
const LONGEST_DELAY = 86_400;

/** `5,15,45` to milliseconds. */
export function parseDelays(text: string): Result<number[]> {
  const words = text === '' ? [] : text.split(',');
  const delays = words.map(Number);
  if (
    words.every((word) => word.trim() !== '') &&
    delays.every((delay) => delay >= 0 && delay <= LONGEST_DELAY)
  )
    return ok(delays.map((delay) => delay * 1000));
  return fail({
    reason: 'invalid-option',
    option: '--retry-delays',
    value: text,
    expected: `seconds, at most ${LONGEST_DELAY}, separated by commas`,
  });
}

/** What a timer takes in seconds: 24 days. */
const LARGEST_COUNT = 2_000_000;

/** A whole number of at least one. */
export function parseCount(option: string, value: number): Result<number> {
  if (Number.isInteger(value) && value >= 1 && value <= LARGEST_COUNT) return ok(value);
  return fail({
    reason: 'invalid-option',
    option,
    value: String(value),
    expected: `a whole number from 1 to ${LARGEST_COUNT}`,
  });
}

function unreadable(error: unknown, file: string, kind: InvalidDocument['kind']): InvalidDocument {
  const code = errorCode(error);
  if (code === undefined) throw error;
  const detail =
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EISDIR'
        ? 'this is a directory'
        : code === 'EACCES'
          ? 'no right to read it'
          : code === 'ENAMETOOLONG'
            ? 'this name is too long'
            : (error as Error).message;
  return { reason: 'invalid-document', kind, file, problems: [{ detail }] };
}
