#!/usr/bin/env node
// Stands in for dist/stowage.mjs: records how it was called, and leaves behind what fetch and build leave,
// so that the make files can be tested on their own.
//   STAND_IN_LOG   one JSON line a call is appended here
//   STAND_IN_EXIT  exit with this code, doing nothing else
//   STAND_IN_LACKS  where this file is not there, a fetch that may not use the network ends with 3
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const verbs = process.argv[2] === 'store' ? 2 : 1;
const command = process.argv.slice(2, 2 + verbs).join(' ');
const args = process.argv.slice(2 + verbs);
const { STAND_IN_LOG: log, STAND_IN_EXIT: exit, SOURCE_DATE_EPOCH: epoch } = process.env;
if (log) {
  const call = { command, args, umask: process.umask().toString(8), node: process.execPath, epoch };
  appendFileSync(log, `${JSON.stringify(call)}\n`);
}
if (exit) process.exit(Number(exit));

const valueOf = (option) => args[args.indexOf(option) + 1];
const reference = `registry.example/sample:1@sha256:${'0a'.repeat(32)}`;
const { STAND_IN_LACKS: lacks } = process.env;
if (command === 'store import' && lacks) writeFileSync(lacks, '');
if (command === 'fetch' && args.includes('--offline') && lacks && !existsSync(lacks))
  process.exit(3);
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
} else if (command === 'sbom') {
  writeFileSync(valueOf('-o'), '{}\n');
  writeFileSync(valueOf('--manifest'), 'target,name\n');
} else if (command === 'store export') {
  writeFileSync(valueOf('-o'), 'carried');
}
