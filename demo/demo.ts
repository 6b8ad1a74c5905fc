import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parsePlatform } from '../src/model/platform.ts';
import { describeFailure, formatBytes } from '../src/report/describe-failure.ts';
import { startDevice } from '../test/rig/device-engine.ts';
import { dindImage, type DindImage } from '../test/rig/dind-image.ts';
import { anyEngine, type OuterEngine } from '../test/rig/engine.ts';
import { atEnd, programOwner } from '../test/rig/owner.ts';
import { machinePlatform } from '../test/rig/platform.ts';
import { PATH_WITH_SBIN } from '../test/rig/process.ts';
import { push, pushFrom } from '../test/rig/publish.ts';
import { startRegistry, type Registry } from '../test/rig/registry.ts';
import { GREETING, LANDING_PAGE, sampleImages } from './sample-images.ts';

/**
 * From a bundle to a data partition on which a real engine runs what is in it: what a user would type,
 * and around it the registry, the engine and the device that a user has already.
 */
const ROOT = fileURLToPath(new URL('../', import.meta.url));
const OUT = 'build/demo';
/** The registry's port in demo/bundle.yaml. */
const PORT = 5055;

class Interrupted extends Error {
  readonly signal: 'SIGINT' | 'SIGTERM';
  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(signal);
    this.signal = signal;
  }
}

/** A command of ours that failed and has said why. */
class CommandFailed extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`ended with ${code}`);
    this.code = code;
  }
}

const owner = programOwner();
const started = Date.now();
let current: ChildProcess | undefined;
let interrupted: Interrupted | undefined;

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    interrupted ??= new Interrupted(signal);
    // A Ctrl-C has reached the child by itself, on the terminal that we share.
    if (signal === 'SIGTERM' || !process.stdin.isTTY) current?.kill(signal);
  });

process.exitCode = await main();

async function main(): Promise<number> {
  let code = 0;
  try {
    await demo();
  } catch (error) {
    if (interrupted !== undefined) say('\nInterrupted: ending what was started.');
    else if (error instanceof CommandFailed) say('\nThe demo stops here: see the message above.');
    else say(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    code = error instanceof CommandFailed ? error.code : 1;
  }
  try {
    await owner.end();
  } catch (error) {
    say(`Could not end everything: ${String(error)}`);
    code ||= 1;
  }
  if (interrupted !== undefined) return interrupted.signal === 'SIGINT' ? 130 : 143;
  return code;
}

async function demo(): Promise<void> {
  const own = given('BUNDLE');
  const platform = given('PLATFORM') ?? machinePlatform();
  const machine = given('MACHINE');
  checkParameters(own, platform);
  if (process.getuid?.() !== 0) {
    say('Mounting a partition needs root: sudo may ask for your password now.');
    await typed('sudo', ['-v'], {}, 'sudo -v');
  }
  const engine = await step('an engine on this machine', async () => {
    const found = await anyEngine(owner);
    const whose = found.ours
      ? 'yours does not answer, so one was started on a private socket'
      : 'yours';
    return [found, `Docker ${found.version}, ${whose}`];
  });
  const dind = await step('the image of the device engine', async () => {
    const image = await dindImage();
    return [image, `${image.name}, made here of Debian packages, so that no registry is needed`];
  });
  // What an earlier demo left stays until it is replaced: the pins are pinned again in place, the store is used.
  await mkdir(join(ROOT, OUT), { recursive: true });
  const sample = own === undefined ? await publishSample(dind) : undefined;

  const at = (name: string): string => `${OUT}/${name}`;
  const bundle = own ?? 'demo/bundle.yaml';
  const target = ['--platform', platform, ...(machine === undefined ? [] : ['--machine', machine])];
  const variables = sample?.variables ?? [];
  const inputs = ['-b', bundle, '-p', at('pins.json')];
  const store = ['-s', at('store')];
  const stowage = async (verb: string, args: readonly string[]): Promise<void> =>
    typed(
      process.execPath,
      ['dist/stowage.mjs', verb, ...args],
      { DOCKER_HOST: engine.host },
      `stowage ${[verb, ...args].join(' ')}`,
    );
  await stowage('pin', [...inputs, ...target, ...variables]);
  await stowage('fetch', [...inputs, ...store, ...target, ...variables]);
  if (sample !== undefined)
    await step('the registry is stopped', async () => {
      await sample.registry.stop();
      return [undefined, 'from here on nothing can be downloaded'];
    });
  await stowage('build', [...inputs, ...store, '-o', at('data.ext4'), ...target, ...variables]);
  await stowage('verify', [
    at('data.ext4'),
    '-p',
    at('pins.json'),
    ...target,
    ...(sample?.settings ?? []),
  ]);
  await boot(join(ROOT, at('data.ext4')), engine, dind, sample !== undefined, bundle);

  const size = formatBytes(statSync(join(ROOT, at('data.ext4'))).size);
  say(`\nDone in ${seconds(began())}.`);
  say(`  ${at('data.ext4')}  ${size}: the data partition, ready to be flashed`);
  say(`  ${at('data.json')}  what is baked into it`);
  say(`  ${at('pins.json')}  the digests it was made of: the file to keep in git`);
  say(
    'stowage itself is dist/stowage.mjs: `node dist/stowage.mjs --help`, or install it with `npm link`.',
  );
}

interface Sample {
  readonly registry: Registry;
  /** Which target it is besides platform and machine. */
  readonly settings: readonly string[];
  /** These and more options; none where the bundle's defaults are right. */
  readonly variables: readonly string[];
}

async function publishSample(dind: DindImage): Promise<Sample> {
  const registry = await step('a registry on loopback', async () => {
    const port = await isFree(PORT);
    const made = await startRegistry(owner, port ? { port: PORT } : {});
    return [made, made.url];
  });
  await step('publish a supervisor and a landing page that share a base', async () => {
    const images = await sampleImages(dind.busybox);
    await push(registry, 'sample/supervisor:1.0', images.supervisor);
    await push(registry, 'sample/landingpage:1.0', images.landingpage);
    return [
      undefined,
      `${registry.host}/sample/supervisor:1.0 and ${registry.host}/sample/landingpage:1.0, as a vendor's CI would`,
    ];
  });
  await step("publish the engine's image", async () => {
    const name = `library/docker:${dind.version}-dind`;
    await pushFrom(registry, name, `oci:${dind.layout}:${dind.name}`);
    return [undefined, `${registry.host}/${name}, as Docker Hub has it`];
  });
  const bundled = /version: ['"]?([\d.]+)/.exec(
    readFileSync(join(ROOT, 'demo/bundle.yaml'), 'utf8'),
  );
  const settings =
    registry.host === `127.0.0.1:${PORT}` ? [] : ['--set', `registry=${registry.host}`];
  const variables = [
    ...settings,
    ...(bundled?.[1] === dind.version ? [] : ['--engine-version', dind.version]),
  ];
  return { registry, settings, variables };
}

/** Starts a real engine on a copy of the partition, with no network, as the device's first boot would. */
async function boot(
  dataImage: string,
  engine: OuterEngine,
  dind: DindImage,
  sample: boolean,
  bundle: string,
): Promise<void> {
  const device = await step(
    'boot: a real engine on a copy of the partition, no network',
    async () => {
      // Where the engine is the user's, leave it as it was.
      const known = (await engine.docker(['image', 'inspect', dind.name])).code === 0;
      if (!known) {
        await engine.load(dind);
        if (!engine.ours)
          atEnd(owner, async () => {
            await engine.docker(['rmi', dind.name]);
          });
      }
      const made = await startDevice(owner, dataImage, { engine, dind });
      return [made, `Docker ${made.version}`];
    },
  );
  say('\nThe device has:');
  for (const { name, digest } of await device.images()) say(`  ${name}  ${digest}`);
  if (!sample) return;
  const { Architecture: architecture } = await device.inspect(LANDING_PAGE);
  if (architecture !== machinePlatform().split('/')[1]) {
    say(
      `\nThe images are for ${String(architecture)}, which this machine can't run: ${bundle} is built and checked all the same.`,
    );
    return;
  }
  say(`\n$ docker run --rm ${LANDING_PAGE}      # on the device`);
  const said = await device.run(LANDING_PAGE);
  process.stdout.write(said.stdout);
  if (said.code !== 0 || said.stdout.trim() !== GREETING)
    throw new Error(`the landing page did not greet:\n${said.stderr}`);
}

/** One line for each step, with its time; a step after an interruption does not begin. */
async function step<T>(name: string, work: () => Promise<[T, string]>): Promise<T> {
  stopIfInterrupted();
  const from = Date.now();
  const [value, detail] = await work();
  say(`[${seconds(from).padStart(6)}] ${name}: ${detail}`);
  stopIfInterrupted();
  return value;
}

/** Runs a command as the user would type it, with its output as it comes. */
async function typed(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  shown: string,
): Promise<void> {
  stopIfInterrupted();
  say(`\n$ ${shown}`);
  const from = Date.now();
  const child = spawn(program, [...args], {
    cwd: ROOT,
    env: { ...process.env, PATH: PATH_WITH_SBIN, ...environment },
    stdio: ['inherit', 'inherit', 'inherit'],
  });
  current = child;
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => {
      resolve(status ?? 1);
    });
  });
  current = undefined;
  stopIfInterrupted();
  if (code !== 0) throw new CommandFailed(code);
  say(`[${seconds(from).padStart(6)}]`);
}

/** Before anything is started or changed: what was given must be what the rest can work with. */
function checkParameters(bundle: string | undefined, platform: string): void {
  if (
    bundle !== undefined &&
    !(statSync(resolve(ROOT, bundle), { throwIfNoEntry: false })?.isFile() ?? false)
  )
    throw new Error(`BUNDLE=${bundle}: there is no such file`);
  const parsed = parsePlatform(platform);
  if (!parsed.ok) {
    const { message, hint } = describeFailure(parsed.failure);
    throw new Error(`PLATFORM=${platform}: ${message}${hint === undefined ? '' : `; ${hint}`}`);
  }
}

/** When the user typed it: make notes it, since its set-up and build take their time too. */
function began(): number {
  const noted = Number(process.env['DEMO_STARTED']);
  return Number.isFinite(noted) && noted > 0 ? noted * 1000 : started;
}

function stopIfInterrupted(): void {
  if (interrupted !== undefined) throw interrupted;
}

/** A parameter of `make demo`; make exports those not given as empty. */
function given(name: 'BUNDLE' | 'PLATFORM' | 'MACHINE'): string | undefined {
  const value = process.env[name];
  if (value === undefined || value === '') return undefined;
  return name === 'BUNDLE' ? relative(ROOT, value) || value : value;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

function seconds(from: number): string {
  return `${((Date.now() - from) / 1000).toFixed(1)} s`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
