import { parseReference, taggedName } from '../model/reference.ts';
import type { DescribedImage } from './described-image.ts';
import { labelOf } from './labels.ts';

const COLUMNS = [
  ...['target', 'name', 'reference', 'platform', 'index', 'manifest', 'config'],
  ...['licenses', 'source', 'revision', 'vendor', 'version'],
] as const;
const LABELS = ['licenses', 'source', 'revision', 'vendor', 'version'];

/** RFC 4180: a header, then a line for each image of each target. */
export function formatImageManifest(images: readonly DescribedImage[]): string {
  const rows = images.flatMap((image) =>
    image.targets.map((target) => [target, ...wordsOf(image)]),
  );
  rows.sort((a, b) => (a.join('\0') < b.join('\0') ? -1 : 1));
  return [[...COLUMNS], ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function wordsOf(image: DescribedImage): string[] {
  const { name, pin } = image;
  const { index, manifest, config, platform } = pin;
  const documents = [index ?? '', manifest.digest, config.digest];
  const labels = LABELS.map((word) => labelOf(image, word) ?? '');
  return [name, referenceOf(image), platform, ...documents, ...labels];
}

/** `name:tag@sha256:…`, with the digest that the pins' reference has. */
function referenceOf({ pin }: DescribedImage): string {
  const parsed = parseReference(pin.reference);
  if (!parsed.ok || parsed.value.digest === undefined) return pin.reference;
  const name = taggedName(parsed.value);
  return name === undefined ? pin.reference : `${name}@${parsed.value.digest}`;
}

/** What a spreadsheet would take for a formula, in any width. */
const FORMULA = /^[=+\-@\t\r＝＋－＠]/;

/** An apostrophe makes a text of what would be a formula; control characters but for those of lines are blanks. */
function cell(value: string): string {
  // eslint-disable-next-line no-control-regex -- that is what they are
  const plain = value.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/g, ' ');
  const text = FORMULA.test(plain) ? `'${plain}` : plain;
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
