#!/usr/bin/env node
// Stands in for dist/stowage.mjs: records how it was called, and leaves behind what fetch and build leave,
// so that the make files can be tested on their own.
//   STAND_IN_LOG   one JSON line a call is appended here
//   STAND_IN_EXIT  exit with this code, doing nothing else
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const [command, ...args] = process.argv.slice(2);
const { STAND_IN_LOG: log, STAND_IN_EXIT: exit, SOURCE_DATE_EPOCH: epoch } = process.env;
if (log) {
  const call = { command, args, umask: process.umask().toString(8), node: process.execPath, epoch };
  appendFileSync(log, `${JSON.stringify(call)}\n`);
}
if (exit) process.exit(Number(exit));

const valueOf = (option) => args[args.indexOf(option) + 1];
const reference = `registry.example/sample:1@sha256:${'0a'.repeat(32)}`;
if (command === 'fetch') {
  const [pins, store] = [valueOf('-p'), valueOf('-s')];
  mkdirSync(store, { recursive: true });
  if (!existsSync(pins)) {
    mkdirSync(dirname(pins), { recursive: true });
    const target = { images: { sample: { reference } } };
    writeFileSync(
      pins,
      `${JSON.stringify({ targets: { [valueOf('--platform')]: target } }, null, 2)}\n`,
    );
  }
} else if (command === 'build') {
  if (!existsSync(valueOf('-p'))) process.exit(2);
  const out = valueOf('-o');
  writeFileSync(out, 'image');
  writeFileSync(out.replace(/\.ext4$/u, '.json'), '{}\n');
}
