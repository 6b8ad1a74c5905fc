import type { TreeDifference } from '../trees/compare-trees.ts';
import { displayName } from '../trees/tree-node.ts';
import type { FileDifference, FileDifferences } from './difference.ts';

/** Counts differences, and keeps as many as are to be listed. */
export class FileCollector {
  readonly #most: number;
  readonly #listed: FileDifference[] = [];
  readonly #counts = { added: 0, removed: 0, changed: 0, times: 0 };

  /** `most` to be listed. */
  constructor(most: number) {
    this.#most = most;
  }

  take(difference: TreeDifference): void {
    const path = displayName(difference.path);
    if (difference.kind === 'changed') {
      const { changes, to } = difference;
      this.add({ kind: 'changed', path, type: to.type, changes });
      return;
    }
    const { kind, node } = difference;
    const size = node.type === 'file' ? { size: node.size } : {};
    this.add({ kind, path, type: node.type, ...size });
  }

  add(difference: FileDifference): void {
    const { kind, changes = [] } = difference;
    const isTime = kind === 'changed' && changes.every(({ what }) => what === 'time');
    this.#counts[isTime ? 'times' : kind] += 1;
    // What is left of the room goes to files of which only the time differs in no case but that of all being listed.
    if (this.#listed.length < this.#most && (!isTime || this.#most === Infinity))
      this.#listed.push(difference);
  }

  get result(): FileDifferences {
    return { ...this.#counts, listed: this.#listed };
  }
}

export function isEmpty({ added, removed, changed, times }: FileDifferences): boolean {
  return added + removed + changed + times === 0;
}

export const NO_DIFFERENCES: FileDifferences = {
  added: 0,
  removed: 0,
  changed: 0,
  times: 0,
  listed: [],
};
