import { resolve } from 'node:path';
import { ok } from '../../model/result.ts';
import { examineMachine } from '../../report/doctor.ts';
import { defineCommand } from '../command.ts';
import { engineChoice } from '../engine-choice.ts';
import { loaderOption, outerEngineOption } from '../options.ts';

/** docs/exit-codes.md. */
const LACKING = 6;

export const doctorCommand = defineCommand({
  name: 'doctor',
  describe: 'what this machine lacks, and the command that mends it',
  options: {
    ...loaderOption,
    ...outerEngineOption,
    store: { type: 'string', alias: 's', requiresArg: true, describe: 'where downloads will go' },
    output: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      describe: 'where the data image will go',
    },
  },
  async run(args, surroundings) {
    const findings = await examineMachine(
      {
        loader: args.loader,
        engine: engineChoice(args, surroundings),
        ...(args.store === undefined ? {} : { store: resolve(args.store) }),
        ...(args.output === undefined ? {} : { output: resolve(args.output) }),
      },
      surroundings,
    );
    const lacks = findings.filter((finding) => !finding.ok);
    const text = findings
      .map(
        ({ ok: good, what, detail, remedy }) =>
          `${good ? 'ok  ' : 'LACK'}  ${what}: ${detail}\n${good || remedy === undefined ? '' : `      → ${remedy}\n`}`,
      )
      .join('');
    return ok({ text, json: { findings }, exitCode: lacks.length === 0 ? 0 : LACKING });
  },
});
