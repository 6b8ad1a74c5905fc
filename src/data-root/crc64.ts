/**
 * CRC-64 of ISO 3309 (Go's hash/crc64, `ISO`): reflected, polynomial x^64 + x^4 + x^3 + x + 1. Four bytes at a time,
 * with the 64 bits as two numbers of 32: as bigints it would be a hundred times slower.
 */
export class Crc64 {
  #high = -1;
  #low = -1;

  update(bytes: Uint8Array): void {
    let [high, low] = [this.#high, this.#low];
    const whole = bytes.length - (bytes.length % 4);
    let at = 0;
    for (; at < whole; at += 4) {
      const word =
        low ^
        (byteAt(bytes, at) |
          (byteAt(bytes, at + 1) << 8) |
          (byteAt(bytes, at + 2) << 16) |
          (byteAt(bytes, at + 3) << 24));
      const [a, b] = [(word & 0xff) | 0x300, ((word >>> 8) & 0xff) | 0x200];
      const [c, d] = [((word >>> 16) & 0xff) | 0x100, word >>> 24];
      low = high ^ entry(LOW, a) ^ entry(LOW, b) ^ entry(LOW, c) ^ entry(LOW, d);
      high = entry(HIGH, a) ^ entry(HIGH, b) ^ entry(HIGH, c) ^ entry(HIGH, d);
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ byteAt(bytes, at)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ entry(LOW, index);
      high = (high >>> 8) ^ entry(HIGH, index);
    }
    this.#high = high;
    this.#low = low;
  }

  /** 8 bytes, the highest first; more may follow. */
  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32BE(~this.#high, 0);
    bytes.writeInt32BE(~this.#low, 4);
    return bytes;
  }
}

const POLYNOMIAL = 0xd8000000;

/** Four tables of 256 entries: what a byte does to the sum when 0 to 3 further bytes follow it. */
const HIGH = new Int32Array(1024);
const LOW = new Int32Array(1024);
for (let byte = 0; byte < 256; byte++) {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const carry = low & 1;
    low = (low >>> 1) | (high << 31);
    high = (high >>> 1) ^ (carry === 0 ? 0 : POLYNOMIAL);
  }
  HIGH[byte] = high;
  LOW[byte] = low;
}
for (let index = 256; index < 1024; index++) {
  const [high, low] = [entry(HIGH, index - 256), entry(LOW, index - 256)];
  LOW[index] = ((low >>> 8) | (high << 24)) ^ entry(LOW, low & 0xff);
  HIGH[index] = (high >>> 8) ^ entry(HIGH, low & 0xff);
}

function entry(table: Int32Array, index: number): number {
  return table[index] as number;
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}
