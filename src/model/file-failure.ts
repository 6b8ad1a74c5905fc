import type { Failure, Interrupted } from './failure.ts';

/**
 * The project's failure for what the file system refused. `doing` is a phrase: `making the store`.
 * What is no error of the operating system is a bug, and thrown on.
 */
export function fileFailure(error: unknown, path: string, doing: string): Failure {
  const code = errorCode(error);
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return { reason: 'no-space', where: path };
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'ENOTDIR':
      return {
        reason: 'invalid-option',
        option: 'the path',
        value: path,
        expected: `one that the file system takes, while ${doing} (${code})`,
      };
    case undefined:
      throw error;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOENT':
      return { reason: 'access-denied', path, doing, detail: (error as Error).message };
    default:
      return { reason: 'file-system-failed', path, doing, code, detail: (error as Error).message };
  }
}

/** Such as `ENOENT`; undefined for what is no system error. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** True where the error means that this process may not write here, which a reader can live with. */
export function isWriteRefused(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
}

/** Who aborts says which signal it was by the abort's reason; SIGTERM stands for everything else. */
export function interruption(signal: AbortSignal): Interrupted {
  return {
    reason: 'interrupted',
    signal:
      signal.reason === 'SIGINT' || reasonSignal(signal.reason) === 'SIGINT' ? 'SIGINT' : 'SIGTERM',
  };
}

function reasonSignal(reason: unknown): unknown {
  return (reason as { signal?: unknown } | null)?.signal;
}
