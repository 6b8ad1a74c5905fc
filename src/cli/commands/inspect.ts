import { imageSizes, totals } from '../../inspect/contents.ts';
import type { Contents } from '../../inspect/contents.ts';
import { openSubject } from '../../inspect/open-subject.ts';
import { ok } from '../../model/result.ts';
import { describeContents } from '../../report/describe-contents.ts';
import { defineCommand } from '../command.ts';
import { readSubjectOptions, subjectOptions } from '../place-options.ts';

export const inspectCommand = defineCommand({
  name: 'inspect',
  describe:
    'what is in a data image, pins, a store, an OCI layout or an archive of images; no root, no daemon',
  positional: {
    name: 'target',
    option: { type: 'string', describe: 'the file or directory to look at' },
  },
  options: {
    ...subjectOptions,
  },
  async run(args, surroundings) {
    const options = readSubjectOptions(args);
    if (!options.ok) return options;
    const subject = await openSubject(args.target ?? '', options.value, surroundings);
    if (!subject.ok) return subject;
    const { contents } = subject.value;
    await subject.value.close();
    return ok({ text: describeContents(contents), json: documentOf(contents) });
  },
});

function documentOf(contents: Contents): unknown {
  const { kind, source, images, files, fileSystem, engine } = contents;
  const sizes = imageSizes(images);
  return {
    source,
    kind,
    ...(fileSystem === undefined ? {} : { fileSystem }),
    ...(engine === undefined ? {} : { engine: { name: 'docker', ...engine } }),
    images: images.map((image, i) => ({ ...image, sizes: sizes[i] })),
    files,
    sums: { images: images.length, files: files.length, ...totals(images) },
  };
}
