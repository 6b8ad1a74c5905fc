import type { Failure } from './failure.ts';

/** The exit codes of the command line: docs/exit-codes.md. */
export function exitCodeOf(failure: Failure): number {
  switch (failure.reason) {
    case 'usage':
    case 'invalid-option':
    case 'invalid-document':
    case 'bundles-disagree':
    case 'unknown-platform':
    case 'no-pins':
    case 'pins-stale':
    case 'target-not-pinned':
    case 'target-ambiguous':
    case 'output-in-use':
    case 'into-refused':
    case 'store-invalid':
    case 'image-unsupported':
    case 'partition-missing':
    case 'entry-refused':
    case 'engine-unable':
      return 2;
    case 'blob-bad':
    case 'layer-bad':
    case 'store-damaged':
    case 'archive-bad':
    case 'import-partial':
    case 'source-bad':
    case 'platform-mismatch':
    case 'pin-contradicted':
    case 'tree-bad':
    case 'engine-mislabelled':
    case 'load-incomplete':
    case 'not-verified':
    case 'image-corrupt':
    case 'image-needs-recovery':
      return 3;
    case 'registry-temporary':
      return 4;
    case 'registry-refused':
    case 'platform-not-offered':
      return 5;
    case 'tool-missing':
    case 'tool-failed':
    case 'engine-unreachable':
    case 'engine-unsuitable':
    case 'engine-died':
    case 'privilege-refused':
    case 'mount-busy':
    case 'machine-lacks':
    case 'access-denied':
    case 'file-system-failed':
      return 6;
    case 'no-space':
      return 7;
    case 'interrupted':
      return failure.signal === 'SIGINT' ? 130 : 143;
  }
}
