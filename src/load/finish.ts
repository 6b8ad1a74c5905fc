import type { Context, Step } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { finalSize } from '../plan/size.ts';
import { checkFileSystem, shrinkFileSystem } from '../tools/e2fsprogs.ts';
import { readSuperblock } from '../tools/ext4-superblock.ts';
import { writeExtraFiles } from './extra-files.ts';
import type { BuildRequest, WorkFiles } from './loader.ts';

/** From an unmounted file system with a filled data root to a clean one of the right size, with the bundle's files. */
export async function finishFileSystem(
  request: BuildRequest,
  work: WorkFiles,
  context: Context,
): Promise<Result<void>> {
  const { partition } = request.wanted;
  reportStep(context, 'write files');
  const written = await writeExtraFiles(request, work, context);
  if (!written.ok) return written;
  reportStep(context, 'check file system');
  const repaired = await checkFileSystem(work.image, 'repair', context.signal);
  if (!repaired.ok || partition.size !== 'auto') return repaired;
  reportStep(context, 'shrink');
  const superblock = await readSuperblock(work.image);
  if (!superblock.ok) return superblock;
  const { blocks, freeBlocks, blockSize } = superblock.value;
  const used = (blocks - freeBlocks) * blockSize;
  const shrunk = await shrinkFileSystem(
    work.image,
    finalSize(used, partition.headroom),
    context.signal,
  );
  return shrunk.ok ? checkFileSystem(work.image, 'read only', context.signal) : shrunk;
}

function reportStep(context: Context, step: Step): void {
  context.report({ type: 'step', step });
}
