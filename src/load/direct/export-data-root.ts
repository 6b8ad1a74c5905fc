import { mkdir, opendir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Context } from '../../model/event.ts';
import { errorCode, fileFailure } from '../../model/file-failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { acquireLock } from '../../store/store-lock.ts';
import { isRoot } from '../../tools/mount.ts';
import { syncFileSystem } from '../../tools/sync-file-system.ts';
import { unpackArchive } from '../../tools/unpack-archive.ts';
import { checkDocuments } from '../check-documents.ts';
import { checkStore } from '../check-inputs.ts';
import type { BuildRequest } from '../loader.ts';
import {
  lockOf,
  makeWorkDirectory,
  removeWorkDirectory,
  workDirectoryOf,
} from '../work-directory.ts';
import { ArchiveSink } from './archive-sink.ts';
import { checkEngine, planDataRoot } from './plan-data-root.ts';
import { writeDataRoot } from './write-data-root.ts';
import { syncDirectory } from '../../store/content.ts';

/** What a data root can be handed over as, where somebody else makes the file system. */
export type ExportFormat = 'tar' | 'dir';

export interface ExportOptions {
  /** Absolute; it is replaced where it is an archive, and must not be there, or be empty, where it is a directory. */
  readonly output: string;
  readonly format: ExportFormat;
  readonly dryRun: boolean;
}

/**
 * The content of a data image as an archive or a directory: the data root and the bundle's files. A directory needs root,
 * whose most of it is. Resolves to the archive's bytes; undefined after a dry run, and of directories.
 */
export async function exportDataRoot(
  request: BuildRequest,
  options: ExportOptions,
  context: Context,
): Promise<Result<number | undefined>> {
  const { output, format } = options;
  const ready = await checkExport(request, options, context);
  if (!ready.ok || options.dryRun) return ready;
  const lock = await acquireLock(lockOf(workDirectoryOf(output)), context, { what: output });
  if (!lock.ok) return lock;
  try {
    const work = await makeWorkDirectory(output);
    if (!work.ok) return work;
    const { directory } = work.value;
    try {
      const root = await planDataRoot(request);
      if (!root.ok) return root;
      context.report({ type: 'step', step: 'write data root' });
      const archive = join(directory, 'data.tar');
      const written = await writeDataRoot(root.value, () => ArchiveSink.open(archive), context);
      if (!written.ok) return written;
      if (format === 'tar') {
        const { size } = await stat(archive);
        await rename(archive, output);
        await syncDirectory(dirname(output));
        return ok(size);
      }
      const tree = join(directory, 'root');
      await mkdir(tree, { mode: 0o755 });
      const unpacked = await unpackArchive(archive, tree, context.signal);
      if (!unpacked.ok) return unpacked;
      await rm(archive);
      const synced = await syncFileSystem(tree, 'writing the data root', context.signal);
      if (!synced.ok) return synced;
      await rmdir(output).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw error;
      });
      await rename(tree, output);
      await syncDirectory(dirname(output));
      return ok(undefined);
    } finally {
      const removed = await removeWorkDirectory(directory);
      if (!removed.ok)
        context.report({
          ...{ type: 'undo-failed', what: 'remove the work directory' },
          failure: removed.failure,
        });
    }
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return fail(fileFailure(error, output, 'writing the data root'));
  } finally {
    await lock.value.release();
  }
}

async function checkExport(
  request: BuildRequest,
  { output, format }: ExportOptions,
  context: Context,
): Promise<Result<undefined>> {
  if (format === 'dir' && !isRoot())
    return fail({
      reason: 'machine-lacks',
      what: 'the rights of root, whose the files of a data root are',
      remedy: 'run it as root or in a user namespace, or take --format tar, which needs no rights',
    });
  const there = await stat(output).catch(() => undefined);
  const isFit = there === undefined || (format === 'dir' ? there.isDirectory() : there.isFile());
  if (!isFit)
    return fail({
      reason: 'invalid-option',
      option: '--output',
      value: output,
      expected: format === 'dir' ? 'a directory' : `a file, and no directory or device`,
    });
  if (format === 'dir' && there !== undefined && !(await isEmpty(output)))
    return fail({
      ...{ reason: 'invalid-option', option: '--output', value: output },
      expected: `a directory that is empty, or not there yet, for ${basename(output)}`,
    });
  const able = checkEngine(request, context);
  if (!able.ok) return able;
  context.report({ type: 'step', step: 'check store' });
  const { store, pins } = request;
  const complete = await checkStore(store, pins, undefined);
  if (!complete.ok) return complete;
  const consistent = await checkDocuments(store, pins);
  return consistent.ok ? ok(undefined) : consistent;
}

async function isEmpty(directory: string): Promise<boolean> {
  const opened = await opendir(directory);
  try {
    return (await opened.read()) === null;
  } finally {
    await opened.close();
  }
}
