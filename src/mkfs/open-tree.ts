import type { Stats } from 'node:fs';
import { closeSync, constants, fstatSync, open as openCallback } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { promisify } from 'node:util';
import type { Context } from '../model/event.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readXattrs } from '../tools/getfattr.ts';
import type { ArchiveOptions } from './archive-items.ts';
import { archiveItems } from './archive-items.ts';
import { directoryItems } from './directory-items.ts';
import { readChunks } from './read-chunks.ts';
import type { TreeReader } from './tree-reader.ts';

const open = promisify(openCallback);

export type InputKind = 'archive' | 'directory' | 'standard input';

/** What `input` is: `-` for standard input. Anything that is neither an archive nor a directory is a failure. */
export async function inputKind(input: string): Promise<Result<InputKind>> {
  if (input === '-') return ok('standard input');
  const found = await look(input);
  if (!found.ok) return found;
  if (found.value.isDirectory()) return ok('directory');
  if (found.value.isSocket()) return wrongInput(input, 'a tar or a directory, and no socket');
  return ok('archive');
}

/** The tree that `input` is or holds; what is wrong inside is thrown as a `TreeError` while it is read. */
export async function openTree(
  options: ArchiveOptions,
  stdin: AsyncIterable<Uint8Array>,
  context: Context,
): Promise<Result<TreeReader>> {
  const { input, xattrs } = options;
  const kind = await inputKind(input);
  if (!kind.ok) return kind;
  switch (kind.value) {
    case 'standard input':
      return ok(archiveItems(stdin, options, context.report));
    case 'archive': {
      const source = await openArchive(input, context.signal);
      return source.ok ? ok(archiveItems(source.value, options, context.report)) : source;
    }
    case 'directory': {
      const found = xattrs ? await readXattrs(input, context.signal) : ok(new Map());
      return found.ok ? ok(directoryItems(input, found.value)) : found;
    }
  }
}

async function openArchive(
  input: string,
  signal: AbortSignal,
): Promise<Result<AsyncIterable<Uint8Array>>> {
  try {
    const file = await open(input, constants.O_RDONLY);
    // To read from a pipe may take for ever, and only a stream can be told to stop.
    if (fstatSync(file).isFIFO())
      return ok(addAbortSignal(signal, new Socket({ fd: file, writable: false })));
    return ok(closing(file));
  } catch (error) {
    return fail(fileFailure(error, input, 'reading the archive'));
  }
}

async function* closing(file: number): AsyncGenerator<Uint8Array, void> {
  try {
    yield* readChunks(file);
  } finally {
    closeSync(file);
  }
}

async function look(input: string): Promise<Result<Stats>> {
  try {
    return ok(await stat(input));
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return wrongInput(input, 'a tar or a directory that exists');
    return fail(fileFailure(error, input, 'reading the tree'));
  }
}

function wrongInput(value: string, expected: string): Result<never> {
  return fail({ reason: 'invalid-option', option: 'the input', value, expected });
}
