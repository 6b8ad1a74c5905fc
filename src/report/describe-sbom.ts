import type { SbomSummary } from '../sbom/summary.ts';

/** One line for each file that was written. */
export function describeSbom(
  { images, files }: SbomSummary,
  output: { readonly file: string; readonly csv: string | undefined; readonly written: boolean },
): string {
  const { file, csv, written } = output;
  const would = written ? '' : 'would be written: ';
  const packages = images
    .flatMap((image) => Object.values(image.packages))
    .reduce((sum, count) => sum + count, 0);
  const what = `${count(images.length, 'image')}, ${count(packages, 'package')} in them, ${count(files, 'file')}`;
  return [
    `${file}: ${would}${what}\n`,
    ...(csv === undefined ? [] : [`${csv}: ${would}${count(images.length, 'image')}\n`]),
  ].join('');
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
