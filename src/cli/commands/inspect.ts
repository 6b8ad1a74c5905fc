import { imageSizes, totals } from '../../inspect/contents.ts';
import type { Contents } from '../../inspect/contents.ts';
import { openSubject } from '../../inspect/open-subject.ts';
import { ok } from '../../model/result.ts';
import { describeContents } from '../../report/describe-contents.ts';
import { defineCommand } from '../command.ts';
import { placeOptions, readDataRoot, readPlace } from '../place-options.ts';

export const inspectCommand = defineCommand({
  name: 'inspect',
  describe:
    'what is in a data image, pins, a store, an OCI layout or an archive of images; no root, no daemon',
  positional: {
    name: 'target',
    option: { type: 'string', describe: 'the file or directory to look at' },
  },
  options: {
    ...placeOptions,
    'data-root': {
      type: 'string',
      requiresArg: true,
      describe: "the engine's data root on the partition; the usual places without it",
    },
  },
  async run(args, surroundings) {
    const place = readPlace(args);
    if (!place.ok) return place;
    const dataRoot = readDataRoot(args['data-root']);
    if (!dataRoot.ok) return dataRoot;
    const options = { place: place.value, dataRoot: dataRoot.value };
    const subject = await openSubject(args.target ?? '', options, surroundings);
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
