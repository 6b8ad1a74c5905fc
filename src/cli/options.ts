import type { Options } from 'yargs';
import { ENGINE_STORES } from '../model/bundle.ts';

/** Options that several verbs share. Each can come from `STOWAGE_<NAME>` too: environment.ts. */

const list = { type: 'array', string: true, requiresArg: true } as const satisfies Options;
/** A list of which each flag takes one, so that a positional may follow. */
const each = { ...list, nargs: 1 } as const satisfies Options;

export const bundleOption = {
  bundle: {
    ...list,
    alias: 'b',
    demandOption: true,
    describe: 'bundle to read; several are merged',
  },
} as const satisfies Record<string, Options>;

export const pinsOption = {
  pins: {
    type: 'string',
    alias: 'p',
    requiresArg: true,
    demandOption: true,
    describe: 'the pins file',
  },
} as const satisfies Record<string, Options>;

export const storeOption = {
  store: {
    type: 'string',
    alias: 's',
    requiresArg: true,
    demandOption: true,
    describe: 'the directory of downloads',
  },
} as const satisfies Record<string, Options>;

export const targetOptions = {
  platform: {
    type: 'string',
    requiresArg: true,
    describe: "the device's platform: linux/arm64, aarch64, linux/arm/v7, x86_64, …",
  },
  machine: { type: 'string', requiresArg: true, describe: 'what {machine} means in the bundle' },
  set: { ...each, describe: 'sets a variable of the bundle: NAME=VALUE; repeatable' },
} as const satisfies Record<string, Options>;

export const engineVersionOptions = {
  'engine-version': {
    type: 'string',
    requiresArg: true,
    describe: "the device's engine version, instead of the bundle's engine.version",
  },
  dind: {
    type: 'string',
    requiresArg: true,
    describe: "the dind image, instead of the bundle's engine.dind",
  },
} as const satisfies Record<string, Options>;

/** What the verbs that fill a data root take besides. */
export const engineStoreOptions = {
  'engine-store': {
    choices: ENGINE_STORES,
    requiresArg: true,
    describe: "where the device's engine keeps images, instead of the bundle's engine.store",
  },
  unpack: {
    type: 'boolean',
    describe:
      "unpack the images; --no-unpack leaves that to the device's first boot. Instead of the bundle's engine.unpack",
  },
  containerd: {
    choices: ['daemon', 'own'] as const,
    requiresArg: true,
    describe:
      "whether the device's dockerd starts its containerd, or it has one of its own; instead of the bundle's engine.containerd",
  },
} as const satisfies Record<string, Options>;

export const networkOptions = {
  jobs: { type: 'number', requiresArg: true, default: 4, describe: 'downloads at a time' },
  mirror: {
    ...each,
    describe: 'HOST[/PATH] that is tried before every upstream registry; repeatable',
  },
  'mirror-only': {
    type: 'boolean',
    default: false,
    describe: 'ask the mirrors and nobody else',
  },
  authfile: {
    type: 'string',
    requiresArg: true,
    describe: 'credentials, as skopeo and podman write them',
  },
  'cert-dir': {
    type: 'string',
    requiresArg: true,
    describe:
      'certificates: DIR/HOST[:PORT]/*.crt, and *.cert with *.key, or in DIR itself for all',
  },
  policy: {
    type: 'string',
    requiresArg: true,
    describe: "signature policy, instead of the user's or the machine's policy.json",
  },
  'registries-dir': {
    type: 'string',
    requiresArg: true,
    describe: "where signatures are, instead of the user's or the machine's registries.d",
  },
  insecure: {
    ...each,
    describe: 'HOST[:PORT] that may speak plain http or have an unknown certificate; repeatable',
  },
  'retry-delays': {
    type: 'string',
    requiresArg: true,
    default: '5,15,45',
    describe: 'seconds to wait before each further attempt',
  },
  stall: {
    type: 'number',
    requiresArg: true,
    default: 60,
    describe: 'seconds without a byte after which a download has failed',
  },
} as const satisfies Record<string, Options>;

export const loaderOption = {
  loader: {
    choices: ['dind', 'direct'] as const,
    default: 'dind' as const,
    describe:
      'what fills the data root: dind runs the engine itself; direct writes what it would, with no engine and no root',
  },
} as const satisfies Record<string, Options>;

export const outerEngineOption = {
  engine: {
    type: 'string',
    requiresArg: true,
    describe:
      'what runs the dind image on this machine: docker, podman, or the path of either  [default: whichever answers]',
  },
} as const satisfies Record<string, Options>;

export const globalOptions = {
  log: {
    choices: ['plain', 'json', 'pretty'] as const,
    describe: 'how progress is told on standard error  [default: pretty on a terminal, else plain]',
  },
  json: { type: 'boolean', default: false, describe: 'one JSON document on standard output' },
  'dry-run': {
    type: 'boolean',
    alias: 'n',
    default: false,
    describe: 'change nothing; say what would be done',
  },
  debug: {
    type: 'boolean',
    default: false,
    describe: 'show what programs say, and stack traces of internal faults',
  },
} as const satisfies Record<string, Options>;
