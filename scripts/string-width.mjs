// In the place of string-width in the one file, where only yargs' help pages use it: they hold no wide characters, and
// the tables of Unicode that the package builds cost every start more than reading the bundle.
const ESCAPES = new RegExp(`${String.fromCodePoint(27)}\\[[0-9;]*m`, 'g');

export default function stringWidth(text) {
  return [...text.replace(ESCAPES, '')].length;
}
