import type { SbomSummary } from '../sbom/summary.ts';
import { countOf } from './count-of.ts';

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
  const what = `${countOf(images.length, 'image')}, ${countOf(packages, 'package')} in them, ${countOf(files, 'file')}`;
  return [
    `${file}: ${would}${what}\n`,
    ...(csv === undefined ? [] : [`${csv}: ${would}${countOf(images.length, 'image')}\n`]),
  ].join('');
}
