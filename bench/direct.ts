import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Layer } from '../test/rig/image.ts';
import { digestOf, makeImage, makeLayer, writeLayout } from '../test/rig/image.ts';
import type { Owner } from '../test/rig/owner.ts';
import { machinePlatform } from '../test/rig/platform.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';
import type { Run } from './measure.ts';
import { machine, megabytes, runBench, say, seconds, stowage, table } from './measure.ts';
import { filesOf } from './seven-images.ts';

/**
 * The direct loader with bundles of 10, 20 and 40 images, 10 GB unpacked at the most: what a byte costs and how much
 * memory it takes must not depend on how many there are. Ends with 1 where they do. `--quick` takes a tenth of the data
 * and promises nothing of the times.
 */
const QUICK = process.argv.includes('--quick');
const COUNTS = [10, 20, 40] as const;
/** Bytes of one image's layer, compressed; it unpacks to 2.85 times as much. */
const LAYER = QUICK ? 8_800_000 : 88_000_000;

const PROMISES = { linear: 1.25, growth: 1.15, memory: 250_000_000 };

await runBench(bench);

interface Measured {
  readonly count: number;
  readonly run: Run;
}

async function bench(owner: Owner): Promise<void> {
  const directory = temporaryTree(owner);
  const environment = { home: temporaryTree(owner) };
  const layouts = join(directory, 'layouts');
  const store = join(directory, 'store');
  const platform = machinePlatform();
  const unpacked = await writeImages(layouts, platform);
  const measured: Measured[] = [];
  for (const count of COUNTS) {
    say(`${count} images`);
    const bundle = join(directory, `${count}.yaml`);
    const images = Array.from(
      { length: count },
      (_, i) =>
        `  image${i}: { from: "oci:${join(layouts, String(i))}:image", tags: ["bench/image${i}:1"] }`,
    );
    await writeFile(bundle, ['stowage: 1', 'images:', ...images, ''].join('\n'));
    const inputs = ['-b', bundle, '-p', join(directory, `${count}.json`), '--loader', 'direct'];
    await stowage(environment, 'fetch', ...inputs, '-s', store, '--platform', platform);
    const out = join(directory, 'out');
    await mkdir(out);
    const output = ['-o', join(out, 'data.ext4'), '--no-share'];
    const run = await stowage(environment, 'build', ...inputs, '-s', store, ...output);
    say(`  ${seconds(run.seconds)}, ${megabytes(run.peak)}`);
    measured.push({ count, run });
    await rm(out, { recursive: true });
  }
  report(measured, unpacked);
}

/** As layouts named by their numbers. Returns the bytes that each unpacks to. */
async function writeImages(directory: string, platform: string): Promise<number> {
  say('making the images');
  const { blob: common } = await makeLayer(filesOf(9_000, LAYER), { gzip: false });
  const packed = gzipSync(common, { level: 1 });
  for (let i = 0; i < Math.max(...COUNTS); i++) {
    const layer = await layerOf(i, common, packed);
    const image = await makeImage({ platform, layers: [layer] });
    await writeLayout(join(directory, String(i)), image);
  }
  return common.length;
}

/** What all have, behind a file of its own: no two have the same digest, and making them takes no time. */
async function layerOf(number: number, common: Uint8Array, packed: Uint8Array): Promise<Layer> {
  const own = await makeLayer({ [`etc/number-${number}`]: `${number}\n` }, { gzip: false });
  // A header and a block of content; the end of the archive is what follows.
  const first = own.blob.subarray(0, 1024);
  const blob = Buffer.concat([gzipSync(first), packed]);
  const diffId = `sha256:${createHash('sha256').update(first).update(common).digest('hex')}`;
  return { blob, digest: digestOf(blob), diffId, compressed: true };
}

function report(measured: readonly Measured[], unpacked: number): void {
  const [few, , many] = measured;
  if (few === undefined || many === undefined) throw new Error('nothing was measured');
  const perImage = ({ count, run }: Measured): number => run.seconds / count;
  const linear = perImage(many) / perImage(few);
  const growth = many.run.peak / few.run.peak;
  process.stdout.write(
    table([
      ['', 'measured', 'promised'],
      ...measured.map(({ count, run }) => [
        `${count} images, ${megabytes(count * unpacked)} unpacked`,
        `${seconds(run.seconds)}, ${megabytes(run.peak)} memory`,
        `< ${megabytes(PROMISES.memory)}`,
      ]),
      [
        `an image of ${many.count} to one of ${few.count}`,
        linear.toFixed(2),
        `≤ ${PROMISES.linear}`,
      ],
      [`memory likewise`, growth.toFixed(2), `≤ ${PROMISES.growth}`],
    ]),
  );
  process.stdout.write(`\n${machine()}; one round.\n`);
  const kept =
    measured.every(({ run }) => run.peak < PROMISES.memory) &&
    (QUICK || (linear <= PROMISES.linear && growth <= PROMISES.growth));
  process.exitCode = kept ? 0 : 1;
}
