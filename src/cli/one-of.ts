import type { Options } from 'yargs';

/** What is expected, where an option has choices and `value` is none of them; undefined where all is well. */
export function oneOf(option: Options | undefined, value: string): string | undefined {
  const choices = option?.choices?.map(String);
  if (choices === undefined || choices.includes(value)) return undefined;
  const last = choices.at(-1) ?? '';
  return choices.length === 1
    ? `expected ${last}`
    : `expected ${choices.slice(0, -1).join(', ')} or ${last}`;
}
