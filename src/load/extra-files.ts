import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../model/event.ts';
import type { BlobBad } from '../model/failure.ts';
import type { FilePin } from '../model/pins.ts';
import { digestOf, hexOf } from '../model/digest.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { hashHandle } from '../store/content.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { BuildRequest, WorkFiles } from './loader.ts';
import type { FileToWrite } from './write-files.ts';
import { writeFiles } from './write-files.ts';

/** What is wrong with a file in the store; undefined where its bytes are the pinned ones. */
async function hashAgain(source: string, pin: FilePin): Promise<BlobBad['problem'] | undefined> {
  try {
    const handle = await open(source, 'r');
    try {
      const hashed = await hashHandle(handle);
      if (hashed.size !== pin.size) return 'wrong size';
      return hashed.digest === pin.sha256 ? undefined : 'wrong digest';
    } finally {
      await handle.close();
    }
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? 'missing' : 'unreadable';
  }
}

/** Writes the bundle's files, whose content must be the pinned one, into the unmounted image. */
export async function writeExtraFiles(
  request: BuildRequest,
  work: WorkFiles,
  context: Context,
): Promise<Result<void>> {
  const directory = join(work.directory, 'files');
  const files: FileToWrite[] = [];
  try {
    await mkdir(directory, { recursive: true });
    for (const [path, pin] of Object.entries(request.pins.files)) {
      const wanted = request.wanted.files[path];
      let source = request.store.filePath(pin.sha256);
      if (wanted?.kind !== 'content') {
        const state = await hashAgain(source, pin);
        if (state !== undefined)
          return fail({
            reason: 'blob-bad',
            problem: state,
            digest: pin.sha256,
            owner: path,
            store: request.store.directory,
          });
      } else {
        // Stale pins were refused before: another content here is a bug.
        if (digestOf(wanted.content) !== pin.sha256) throw new Error(`${path} is not as pinned`);
        source = join(directory, hexOf(pin.sha256));
        await writeFile(source, wanted.content);
      }
      files.push({ path, source, mode: parseInt(pin.mode, 8), mtime: request.epoch });
    }
  } catch (error) {
    return fail(fileFailure(error, directory, 'writing the extra files'));
  }
  const written = await writeFiles(work.image, files, context.signal);
  return written.ok ? ok() : written;
}
