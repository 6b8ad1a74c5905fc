import type { FilePin } from '../model/pins.ts';
import type { DirectoryEntry } from '../ext4/reader/at-path.ts';
import type { Inspection } from './inspection.ts';

/** What mke2fs makes. */
const LOST_AND_FOUND = 'lost+found';
/** Linux takes none that is longer. */
const LONGEST_PATH = 4096;

/**
 * The pinned files have their bytes, modes and owner, and outside the data root there is nothing but them and
 * the directories they need. Returns how many files were hashed.
 */
export async function checkFiles(
  inspection: Inspection,
  files: Readonly<Record<string, FilePin>>,
  dataRoot: string,
): Promise<number> {
  const parents = new Set<string>([dataRoot, ...Object.keys(files)].flatMap(parentsOf));
  const seen = new Set<string>();
  let hashed = 0;
  const visit = async (directory: string): Promise<void> => {
    const entries = await inspection.list(`/${directory}`, directory === '' ? 'root' : directory);
    for (const entry of entries ?? []) {
      const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
      const pin = Object.hasOwn(files, path) ? files[path] : undefined;
      if (pin !== undefined) {
        seen.add(path);
        if (await checkFile(inspection, path, entry, pin)) hashed += 1;
      } else if (path === dataRoot) {
        checkDirectory(inspection, path, entry);
        // Pinned files may lie in it as well.
        if (parents.has(path)) await visitPinned(path);
      } else if (parents.has(path)) {
        if (checkDirectory(inspection, path, entry)) await visit(path);
      } else if (path !== LOST_AND_FOUND)
        inspection.findExtra(`${path} is neither pinned nor part of the data root`);
    }
  };
  const visitPinned = async (directory: string): Promise<void> => {
    for (const entry of (await inspection.list(`/${directory}`, directory)) ?? []) {
      const path = `${directory}/${entry.name}`;
      const pin = Object.hasOwn(files, path) ? files[path] : undefined;
      if (pin !== undefined) {
        seen.add(path);
        if (await checkFile(inspection, path, entry, pin)) hashed += 1;
      } else if (parents.has(path) && entry.type === 'directory') await visitPinned(path);
    }
  };
  await visit('');
  for (const path of Object.keys(files))
    if (!seen.has(path)) inspection.find(`file ${path} is missing`);
  return hashed;
}

function parentsOf(path: string): string[] {
  const names = path.split('/');
  return names.slice(0, -1).map((_, i) => names.slice(0, i + 1).join('/'));
}

async function checkFile(
  inspection: Inspection,
  path: string,
  entry: DirectoryEntry,
  pin: FilePin,
): Promise<boolean> {
  const what = `file ${path}`;
  if (entry.type !== 'file') {
    inspection.find(`${what} is a ${entry.type}`);
    return false;
  }
  if (entry.mode !== parseInt(pin.mode, 8))
    inspection.find(`${what} has mode ${formatMode(entry.mode)} instead of ${pin.mode}`);
  checkOwner(inspection, what, entry);
  if (entry.size !== pin.size) {
    inspection.find(`${what} has ${entry.size} bytes instead of ${pin.size}`);
    return false;
  }
  const hash = await inspection.hash(`/${path}`, what);
  if (hash === undefined) return false;
  if (hash.sha256 !== pin.sha256)
    inspection.find(`${what} has other bytes: ${hash.sha256} instead of ${pin.sha256}`);
  return true;
}

function checkDirectory(inspection: Inspection, path: string, entry: DirectoryEntry): boolean {
  if (entry.type !== 'directory') {
    inspection.find(`${path} is a ${entry.type} instead of a directory`);
    return false;
  }
  checkOwner(inspection, `directory ${path}`, entry);
  return true;
}

function checkOwner(inspection: Inspection, what: string, entry: DirectoryEntry): void {
  if (entry.uid !== 0 || entry.gid !== 0)
    inspection.find(`${what} belongs to ${entry.uid}:${entry.gid} instead of 0:0`);
}

function formatMode(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/**
 * In the data root is nothing but `keep`, which are the images and what is pinned there: the engine makes the rest
 * anew, and what a builder's engine leaves is the same on every device (engine-id) or tells of the builder. Empty
 * directories pass.
 */
export async function checkLeftovers(
  inspection: Inspection,
  dataRoot: string,
  keep: readonly string[],
): Promise<void> {
  const kept = new Set(keep);
  const above = new Set([...kept].flatMap(parentsOf));
  const met = new Set<number>();
  const visit = async (directory: string): Promise<void> => {
    for (const entry of (await inspection.list(`/${directory}`, directory)) ?? []) {
      const path = `${directory}/${entry.name}`;
      if (kept.has(path)) continue;
      if (above.has(path) && entry.type === 'directory') await visit(path);
      else if (entry.type !== 'directory' || (await holdsFiles(inspection, path, met)))
        inspection.findExtra(
          `${path} is left over from the engine that filled the data root`,
          `${path} is the engine's`,
        );
    }
  };
  await visit(dataRoot);
}

/** `met` are the directories that were looked into: one that is met again, or lies too deep, is a finding. */
async function holdsFiles(
  inspection: Inspection,
  directory: string,
  met: Set<number>,
): Promise<boolean> {
  if (directory.length > LONGEST_PATH) {
    inspection.find(`directories lie in each other for more than ${LONGEST_PATH} bytes of names`);
    return false;
  }
  for (const entry of (await inspection.list(`/${directory}`, directory)) ?? []) {
    if (entry.type !== 'directory') return true;
    const path = `${directory}/${entry.name}`;
    if (met.has(entry.number))
      inspection.find(`${path} is a directory that has another name: inode ${entry.number}`);
    else {
      met.add(entry.number);
      if (await holdsFiles(inspection, path, met)) return true;
    }
  }
  return false;
}
