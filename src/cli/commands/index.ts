import type { Command } from '../command.ts';
import { buildCommand } from './build.ts';
import { doctorCommand } from './doctor.ts';
import { fetchCommand } from './fetch.ts';
import { pinCommand } from './pin.ts';
import { verifyCommand } from './verify.ts';

/** Every verb, in the order of a release. */
export const commands: readonly Command[] = [
  pinCommand,
  fetchCommand,
  buildCommand,
  verifyCommand,
  doctorCommand,
];
