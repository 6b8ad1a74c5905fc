import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { makeImage } from '../../mkfs/make-image.ts';
import { inputKind, openTree } from '../../mkfs/open-tree.ts';
import type { Failure } from '../../model/failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { usersOf } from '../../tools/loop-devices.ts';
import { defineCommand } from '../command.ts';
import { mkfsOptions, readMkfsOptions } from '../mkfs-options.ts';
import { readOutputFile } from '../output-file.ts';

export const mkfsCommand = defineCommand({
  name: 'mkfs',
  describe: 'an ext4 image of any tree, from a tar or a directory: no root, the same bytes',
  positional: {
    name: 'input',
    option: {
      type: 'string',
      describe: 'a tar, plain or compressed by gzip or zstd, a directory, or - for a tar on stdin',
    },
  },
  options: {
    output: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      demandOption: true,
      describe: 'the image to write',
    },
    ...mkfsOptions,
  },
  async run(args, surroundings) {
    const start = performance.now();
    const { input = '' } = args;
    const wishes = readMkfsOptions(args, surroundings.sourceDateEpoch);
    if (!wishes.ok) return wishes;
    const { image, adjustments } = wishes.value;
    const kind = await inputKind(input);
    if (!kind.ok) return kind;
    if (kind.value === 'standard input' && process.stdin.isTTY)
      return fail({
        ...{ reason: 'invalid-option', option: 'the input', value: input },
        expected: 'a tar on standard input, which is a terminal',
      });
    const output = await checkOutput(args.output, input);
    if (!output.ok) return output;
    const facts = { input, output: args.output, uuid: image.uuid };
    if (args['dry-run'])
      return ok({
        text: `${args.output}: would be written from ${kind.value === 'standard input' ? kind.value : input}, UUID ${image.uuid}\n`,
        json: { ...facts, written: false },
      });
    const options = {
      ...{ input, xattrs: args.xattrs === 'all' },
      implied: { seconds: image.epoch, nanoseconds: 0 },
    };
    // It may never end, and must not keep us from ending.
    if (kind.value === 'standard input') addAbortSignal(surroundings.signal, process.stdin);
    const tree = await openTree(options, process.stdin, surroundings);
    if (!tree.ok) return tree;
    const made = await makeImage(tree.value, output.value, image, adjustments, surroundings);
    if (!made.ok) return fail(inOurWords(made.failure));
    const { size, used, entries, inodes } = made.value;
    const seconds = (performance.now() - start) / 1000;
    return ok({
      text: `${args.output}: ${formatBytes(size)}, ${entries} ${entries === 1 ? 'entry' : 'entries'}, ${formatBytes(used)} in use, ${seconds.toFixed(1)} s\n`,
      json: { ...facts, written: true, size, used, entries, inodes },
    });
  },
});

/** The writer names options as it knows them. */
function inOurWords(failure: Failure): Failure {
  if (failure.reason !== 'invalid-option') return failure;
  const option = failure.option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return { ...failure, option: option in mkfsOptions ? `--${option}` : failure.option };
}

/** The output at its real path, by which the kernel knows it; never one that is in use, or part of the input. */
async function checkOutput(given: string, input: string): Promise<Result<string>> {
  const no = (expected: string): Result<never> =>
    fail({ reason: 'invalid-option', option: '--output', value: given, expected });
  const checked = await readOutputFile('--output', given);
  if (!checked.ok) return checked;
  const output = checked.value;
  if (input !== '-') {
    const source = await realpath(input).catch(() => resolve(input));
    if (source === output) return no('another name: it is the input, and would be replaced');
    if (output.startsWith(source === sep ? sep : `${source}${sep}`))
      return no('a file outside of the tree that goes into it');
  }
  const users = await usersOf(output);
  return users.length > 0
    ? fail({ reason: 'output-in-use', output: given, by: users })
    : ok(output);
}
