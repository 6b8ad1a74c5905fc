/**
 * The hash by which large directories are ordered: half of MD4, over bytes from 0 to 255 (Linux, fs/ext4/hash.c,
 * `DX_HASH_HALF_MD4_UNSIGNED`).
 */
export interface NameHash {
  /** Even. */
  readonly major: number;
  readonly minor: number;
}

const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476] as const;
/** The major hash that means a directory's end; the one before it stands in for it. */
const END = 0xfffffffe;
const CHUNK = 32;
const WORDS = CHUNK / 4;

/** In the order of use: which words each round takes, by how much it turns, and what it adds. */
const ROUNDS = [
  { words: [0, 1, 2, 3, 4, 5, 6, 7], turns: [3, 7, 11, 19], add: 0, mix: choose },
  { words: [1, 3, 5, 7, 0, 2, 4, 6], turns: [3, 5, 9, 13], add: 0x5a827999, mix: majority },
  { words: [3, 7, 2, 6, 1, 5, 0, 4], turns: [3, 9, 11, 15], add: 0x6ed9eba1, mix: parity },
] as const;

/** `seed` is the superblock's: 16 bytes, of which all zero means none. */
export function hashName(name: Uint8Array, seed: Uint8Array): NameHash {
  const state = Uint32Array.from(START);
  if (seed.some((byte) => byte !== 0)) {
    const view = new DataView(seed.buffer, seed.byteOffset, seed.length);
    for (let i = 0; i < state.length; i += 1) state[i] = view.getUint32(i * 4, true);
  }
  const words = new Uint32Array(WORDS);
  for (let at = 0; at < name.length; at += CHUNK) {
    fillWords(words, name, at);
    transform(state, words);
  }
  const major = ((state[1] ?? 0) & ~1) >>> 0;
  return { major: major === END ? END - 2 : major, minor: state[2] ?? 0 };
}

/** What is missing of a chunk is filled with the length of all that is left of the name. */
function fillWords(words: Uint32Array, name: Uint8Array, from: number): void {
  const left = name.length - from;
  const pad = Math.imul(left, 0x01010101);
  const length = Math.min(left, CHUNK);
  words.fill(pad);
  let word = pad;
  for (let i = 0; i < length; i += 1) {
    word = ((word << 8) + (name[from + i] ?? 0)) | 0;
    words[i >>> 2] = word;
    if (i % 4 === 3) word = pad;
  }
}

function transform(state: Uint32Array, words: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  for (const round of ROUNDS)
    for (let i = 0; i < WORDS; i += 1) {
      const word = words[round.words[i] ?? 0] ?? 0;
      const turn = round.turns[i % 4] ?? 0;
      const sum = (a + round.mix(b, c, d) + word + round.add) | 0;
      [a, b, c, d] = [d, (sum << turn) | (sum >>> (32 - turn)), b, c];
    }
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
}

function choose(x: number, y: number, z: number): number {
  return z ^ (x & (y ^ z));
}

function majority(x: number, y: number, z: number): number {
  return (x & y) + ((x ^ y) & z);
}

function parity(x: number, y: number, z: number): number {
  return x ^ y ^ z;
}
