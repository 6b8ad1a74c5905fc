import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dindImage } from './dind-image.ts';
import { must, run, type Outcome } from './process.ts';

/**
 * The judges of ext4 images: this machine's e2fsprogs, and a newer one, that of the Debian suite which the dind image
 * is made of. The newer one lies in build/e2fsprogs/ and is taken out of that image once: some 2 seconds, and 20 more
 * where there is no dind image yet.
 */
export interface E2fsprogs {
  /** As it says itself: `1.47.0`. */
  readonly version: string;
  /** Runs one of its programs (`e2fsck`, `dumpe2fs`, `debugfs`, `tune2fs`, `resize2fs`, `mke2fs`) to its end. */
  run(program: string, args: readonly string[]): Promise<Outcome>;
}

/** This machine's own, and the newer one. */
export async function bothE2fsprogs(): Promise<readonly E2fsprogs[]> {
  return [await ownE2fsprogs(), await newerE2fsprogs()];
}

export async function ownE2fsprogs(): Promise<E2fsprogs> {
  return withVersion((program, args) => run(program, args));
}

export async function newerE2fsprogs(): Promise<E2fsprogs> {
  const root = await unpacked();
  const libraries = join(root, 'usr', 'lib');
  const triplet = readdirSync(libraries).find((name) => name.includes('-linux-'));
  if (triplet === undefined) throw new Error(`there are no libraries in ${libraries}`);
  const directory = join(libraries, triplet);
  const loader = readdirSync(directory).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
  if (loader === undefined) throw new Error(`there is no dynamic linker in ${directory}`);
  // With its own linker and libraries, so that it runs without a chroot, and so without root.
  const lead = ['--library-path', directory];
  return withVersion((program, args) =>
    run(join(directory, loader), [...lead, join(root, 'usr', 'sbin', program), ...args]),
  );
}

/** Throws with what it said unless `e2fsck -fn` of every one of `judges` finds nothing at all. */
export async function assertClean(image: string, judges: readonly E2fsprogs[]): Promise<void> {
  for (const judge of judges) {
    const { code, stdout, stderr } = await judge.run('e2fsck', ['-fn', image]);
    if (code !== 0)
      throw new Error(
        `e2fsck ${judge.version} of ${image} ended with ${code}:\n${stdout}${stderr}`,
      );
  }
}

async function withVersion(runProgram: E2fsprogs['run']): Promise<E2fsprogs> {
  const { stderr } = await runProgram('e2fsck', ['-V']);
  const version = /^e2fsck (\d+(?:\.\d+)+)/m.exec(stderr)?.[1];
  if (version === undefined) throw new Error(`e2fsck tells no version: ${stderr}`);
  return { version, run: runProgram };
}

async function unpacked(): Promise<string> {
  const image = await dindImage();
  const parent = fileURLToPath(new URL('../../build/e2fsprogs', import.meta.url));
  const root = join(parent, image.layout.split('/').at(-1) ?? '');
  if (existsSync(root)) return root;
  await must('mkdir', ['-p', parent]);
  const staging = await mkdtemp(`${root}.`);
  try {
    const [layer] = await layersOf(image.layout);
    await must('tar', [
      ...[
        '--extract',
        '--gzip',
        `--file=${layer ?? ''}`,
        `--directory=${staging}`,
        '--no-same-owner',
      ],
      ...['--wildcards', './usr/lib/*-linux-*/*.so*'],
      ...PROGRAMS.map((program) => `./usr/sbin/${program}`),
    ]);
    await rename(staging, root).catch((error: unknown) => {
      // Another process was sooner, and its result will do.
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return root;
}

const PROGRAMS = ['e2fsck', 'dumpe2fs', 'debugfs', 'tune2fs', 'resize2fs', 'mke2fs'];

/** The layer files of a layout that is a docker archive too. */
async function layersOf(layout: string): Promise<string[]> {
  const text = await must('cat', [join(layout, 'manifest.json')]);
  const [image] = JSON.parse(text) as { Layers: string[] }[];
  return (image?.Layers ?? []).map((path) => join(layout, path));
}
