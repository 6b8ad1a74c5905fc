const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * A name in an archive as a path in the image: without `.`, doubled slashes and those at both ends, as tar extracts it.
 * Undefined where a part is `..`, which tar refuses as well. Empty for the root.
 */
export function memberPath(name: Uint8Array): Uint8Array | undefined {
  const below = name[0] === DOT && name[1] === SLASH ? name.subarray(2) : name;
  if (isPlain(below)) return below;
  const parts: string[] = [];
  for (const part of Buffer.from(name).toString('latin1').split('/')) {
    if (part === '..') return undefined;
    if (part !== '' && part !== '.') parts.push(part);
  }
  return Buffer.from(parts.join('/'), 'latin1');
}

export function isAbsolute(name: Uint8Array): boolean {
  return name[0] === SLASH;
}

/** Most names are, behind the `./` that `tar -C DIRECTORY .` gives them: no part of it is empty or begins with a dot. */
function isPlain(name: Uint8Array): boolean {
  let before = SLASH;
  for (let at = 0; at < name.length; at += 1) {
    const byte = name[at] ?? 0;
    if (before === SLASH && (byte === SLASH || byte === DOT)) return false;
    before = byte;
  }
  return before !== SLASH;
}
