import { isAttribute } from './attributes.ts';
import type { PaxRecord } from './pax.ts';
import { TarError } from './tar-error.ts';

/** Bytes of them all: more than all that a file system keeps for one file. */
const MOST = 64 * 1024;
const UNDERSTOOD: ReadonlySet<string> = new Set([
  ...['path', 'linkpath', 'size', 'uid', 'gid', 'mtime', 'atime', 'ctime'],
  ...['SCHILY.devmajor', 'SCHILY.devminor'],
]);

/** What global extended headers say of all members behind them, as far as it is of use to anybody. */
export class GlobalRecords {
  readonly #records = new Map<string, Uint8Array>();
  #bytes = 0;

  get records(): ReadonlyMap<string, Uint8Array> {
    return this.#records;
  }

  /** Of one header, which is at `offset`; an empty value takes back another. Throws a `TarError` on too many. */
  add(records: readonly PaxRecord[], offset: number): void {
    for (const [key, value] of records) {
      if (!UNDERSTOOD.has(key) && !isAttribute(key)) continue;
      const before = this.#records.get(key);
      if (before !== undefined) this.#bytes -= key.length + before.length;
      if (value.length === 0) {
        this.#records.delete(key);
        continue;
      }
      this.#records.set(key, value);
      this.#bytes += key.length + value.length;
      if (this.#bytes > MOST)
        throw new TarError(`its global headers have more than ${MOST} bytes`, offset);
    }
  }
}
