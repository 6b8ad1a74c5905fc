import { opendirSync, readdirSync } from 'node:fs';

/** Bytes of names to begin with; they double as needed. */
const FIRST = 64 * 1024;
/** Entries that are read from a directory at a time. */
const BATCH = 1024;

/** What is in a directory, in the order of the names' bytes: in latin1, a character a byte. */
export interface SortedNames {
  /** Undefined beyond the last. */
  at(place: number): string | undefined;
}

/** Throws what the system says. */
export function sortedNames(directory: Buffer, isLarge: boolean): SortedNames {
  return isLarge ? new PackedNames(directory) : readdirSync(directory, 'latin1').sort();
}

/** All in one buffer: a directory may have hundreds of thousands of names, and each would be an object of its own. */
class PackedNames implements SortedNames {
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;
  /** Which name comes when. */
  readonly #order: Uint32Array;

  constructor(directory: Buffer) {
    let bytes = Buffer.allocUnsafeSlow(FIRST);
    let starts = new Uint32Array(FIRST / 32);
    let count = 0;
    let end = 0;
    const open = opendirSync(directory, { encoding: 'latin1', bufferSize: BATCH });
    try {
      for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
        const { name } = entry;
        if (end + name.length > bytes.length) bytes = grown(bytes);
        // One more than names: where the last one ends.
        if (count + 2 > starts.length) starts = doubled(starts);
        end += bytes.write(name, end, 'latin1');
        count += 1;
        starts[count] = end;
      }
    } finally {
      open.closeSync();
    }
    this.#bytes = bytes;
    this.#starts = starts;
    this.#order = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) this.#order[index] = index;
    this.#order.sort((a, b) => this.#compare(a, b));
  }

  at(place: number): string | undefined {
    const index = this.#order[place];
    if (index === undefined) return undefined;
    return this.#bytes.toString('latin1', this.#starts[index], this.#starts[index + 1]);
  }

  #compare(a: number, b: number): number {
    const [starts, bytes] = [this.#starts, this.#bytes];
    return bytes.compare(bytes, starts[b], starts[b + 1], starts[a], starts[a + 1]);
  }
}

function grown(bytes: Buffer): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(bytes.length * 2);
  bytes.copy(larger);
  return larger;
}

function doubled(numbers: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(numbers.length * 2);
  larger.set(numbers);
  return larger;
}
