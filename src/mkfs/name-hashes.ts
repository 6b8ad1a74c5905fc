/** Slots, a power of two. */
const FIRST_SIZE = 1024;

/**
 * Which names there were, in 16 to 32 bytes each: 64 bits of a hash stand for a name. Of a million names one that was
 * never added is taken for one of them in 1 of 10^13 questions.
 */
export class NameHashes {
  /** Pairs; two zeros are an empty slot. */
  #slots = new Uint32Array(2 * FIRST_SIZE);
  #count = 0;

  add(name: Uint8Array): void {
    if (this.#count * 2 >= this.#slots.length / 2) this.#grow();
    hash(name);
    this.#count += put(this.#slots) ? 1 : 0;
  }

  has(name: Uint8Array): boolean {
    hash(name);
    const at = find(this.#slots);
    return this.#slots[at] !== 0 || this.#slots[at + 1] !== 0;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      low = old[at] ?? 0;
      high = old[at + 1] ?? 0;
      if (low !== 0 || high !== 0) put(this.#slots);
    }
  }
}

/** Of the last hash: an object for each would cost more than the hash. */
let low = 0;
let high = 0;

/** Two of FNV's kind with other factors, mixed at the end as MurmurHash3 does. */
function hash(name: Uint8Array): void {
  let a = 0x811c9dc5;
  let b = 0x2b593c4d;
  for (let at = 0; at < name.length; at += 1) {
    const byte = name[at] ?? 0;
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b) ^ (b >>> 15);
  }
  low = mixed(a ^ name.length) || 1;
  high = mixed(b);
}

function mixed(value: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Whether it was not there yet. */
function put(slots: Uint32Array): boolean {
  const at = find(slots);
  const isNew = slots[at] === 0 && slots[at + 1] === 0;
  slots[at] = low;
  slots[at + 1] = high;
  return isNew;
}

/** Its slot, or the empty one that it would take. */
function find(slots: Uint32Array): number {
  const mask = slots.length - 1;
  let at = (low * 2) & mask;
  for (;;) {
    const isEmpty = slots[at] === 0 && slots[at + 1] === 0;
    if (isEmpty || (slots[at] === low && slots[at + 1] === high)) return at;
    at = (at + 2) & mask;
  }
}
