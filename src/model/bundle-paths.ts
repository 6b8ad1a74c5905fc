/** Longest name in a directory of ext4, in bytes. */
const LONGEST_NAME = 255;
/** PATH_MAX of Linux, less its end and the mount point. */
const LONGEST_PATH = 3072;

/** Why `path` is no path of a file on the partition, as a phrase; undefined where it is one. */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'the path is empty';
  const shown = JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}…` : path);
  if (path.startsWith('/'))
    return `${shown} is absolute; paths begin at the partition's root, without /`;
  if (path.includes('\\')) return `${shown} has a backslash; names are separated by /`;
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  if (/[\u0000-\u001f\u007f]/.test(path)) return `${shown} has a control character`;
  if (Buffer.byteLength(path) > LONGEST_PATH)
    return `${shown} is longer than ${LONGEST_PATH} bytes`;
  for (const name of path.split('/')) {
    if (name === '') return `${shown} has an empty name`;
    if (name === '.' || name === '..') return `${shown} has ${name} in it`;
    if (Buffer.byteLength(name) > LONGEST_NAME) {
      return `${shown} has a name longer than ${LONGEST_NAME} bytes`;
    }
  }
  if (path === 'lost+found' || path.startsWith('lost+found/')) {
    return `${shown} is the file system's own`;
  }
  return undefined;
}

/** Whether `path` is `directory` or in it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Why a file can't be at `path` beside the data root, as a phrase; undefined where it can. */
export function dataRootProblem(path: string, dataRoot: string): string | undefined {
  if (isWithin(path, dataRoot))
    return `${JSON.stringify(path)} is in the engine's data root, ${dataRoot}`;
  if (isWithin(dataRoot, path))
    return `${JSON.stringify(path)} is where the data root ${dataRoot} must be`;
  return undefined;
}
