import { compareSubjects } from '../../diff/compare-subjects.ts';
import { openSubject } from '../../inspect/open-subject.ts';
import { ok } from '../../model/result.ts';
import { describeDifference } from '../../report/describe-difference.ts';
import { defineCommand } from '../command.ts';
import { readSubjectOptions, subjectOptions } from '../place-options.ts';

export const diffCommand = defineCommand({
  name: 'diff',
  describe:
    'two data images, pins, stores or archives: images, config, layers, files, packages; exit code 8 where they differ',
  positional: {
    name: 'from',
    option: { type: 'string', describe: 'what was: whatever `inspect` takes' },
  },
  second: {
    name: 'to',
    option: { type: 'string', describe: 'what is now; need not be of the same kind' },
  },
  options: {
    all: {
      type: 'boolean',
      default: false,
      describe: 'list every file that differs; without it the first hundred of each list',
    },
    ...subjectOptions,
  },
  async run(args, surroundings) {
    const options = readSubjectOptions(args);
    if (!options.ok) return options;
    const from = await openSubject(args.from ?? '', options.value, surroundings);
    if (!from.ok) return from;
    const to = await openSubject(args.to ?? '', options.value, surroundings);
    try {
      if (!to.ok) return to;
      const most = args.all ? Infinity : LISTED;
      const compared = await compareSubjects(from.value, to.value, { most }, surroundings);
      if (!compared.ok) return compared;
      const { isEqual, ...difference } = compared.value;
      return ok({
        text: describeDifference(compared.value),
        json: { equal: isEqual, ...difference },
        exitCode: isEqual ? 0 : DIFFERENT,
      });
    } finally {
      await from.value.close();
      if (to.ok) await to.value.close();
    }
  },
});

const LISTED = 100;
/** docs/exit-codes.md. */
const DIFFERENT = 8;
