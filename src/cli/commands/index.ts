import type { Command, CommandGroup } from '../command.ts';
import { buildCommand } from './build.ts';
import { diffCommand } from './diff.ts';
import { doctorCommand } from './doctor.ts';
import { fetchCommand } from './fetch.ts';
import { inspectCommand } from './inspect.ts';
import { mkfsCommand } from './mkfs.ts';
import { pinCommand } from './pin.ts';
import { sbomCommand } from './sbom.ts';
import { storeCommands } from './store.ts';
import { verifyCommand } from './verify.ts';

/** Every verb, in the order of a release. */
export const commands: readonly (Command | CommandGroup)[] = [
  pinCommand,
  fetchCommand,
  buildCommand,
  verifyCommand,
  inspectCommand,
  diffCommand,
  sbomCommand,
  mkfsCommand,
  storeCommands,
  doctorCommand,
];
