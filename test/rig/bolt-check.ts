import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Owner } from './owner.ts';
import { must } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

/** What Go's bbolt says of a database that it was given to read and to write. */
export interface BoltReport {
  readonly file: string;
  /** What its `Check` found, before and after 5,000 additions and their deletion. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly buckets: number;
  /** That are no buckets, before and after. */
  readonly keys: number;
  readonly kept: number;
}

/** Where Debian's packages put Go's libraries. */
const LIBRARIES = '/usr/share/gocode';
const SOURCE = join(import.meta.dirname, 'bolt-check', 'main.go');

/** Whether this machine has bbolt itself. */
export function hasGoBolt(): boolean {
  return existsSync(join(LIBRARIES, 'src', 'go.etcd.io', 'bbolt', 'db.go'));
}

/** Compiles the judge, in a second or two and with no network, and returns what asks it; the files are changed. */
export async function boltJudge(
  owner: Owner,
): Promise<(files: readonly string[]) => Promise<BoltReport[]>> {
  const dir = temporaryTree(owner);
  const program = join(dir, 'bolt-check');
  await must('go', ['build', '-o', program, SOURCE], {
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      GOCACHE: join(dir, 'cache'),
      GOPATH: LIBRARIES,
      GO111MODULE: 'off',
      GOFLAGS: '',
      CGO_ENABLED: '0',
    },
  });
  return async (files) =>
    (await must(program, files))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as BoltReport);
}
