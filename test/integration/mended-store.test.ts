import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { machinePlatform } from '../rig/platform.ts';
import { mustAsRoot } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';

/** A store that lacks a part of an image: fetch brings that part, and writes nothing else. */
const owner = fileOwner();
const registry = await startRegistry(owner);
const platform = machinePlatform();
const image = await makeImage({ platform, layers: [{ one: 'a layer' }, { two: 'another' }] });
await push(registry, 'sample/app:1', image);
const blobs = {
  manifest: image.descriptor.digest,
  config: image.config.digest,
  layer: image.layers[0]?.digest ?? '',
};

for (const who of ['whoever tests', 'an ordinary user'] as const)
  test(`what is gone or spoilt comes again for ${who}, and the rest stays as it is`, async (t) => {
    const user = await unprivilegedUser(t, []);
    const { home } = user;
    const as = who === 'whoever tests' ? {} : { user };
    const run = (args: readonly string[]) => runStowage(t, args, { ...as, cwd: home });
    writeFileSync(
      join(home, 'bundle.yaml'),
      `stowage: 1\nimages:\n  app: { from: 'docker://${registry.host}/sample/app:1' }\n`,
    );
    const inputs = ['-b', 'bundle.yaml', '-p', 'pins.json', '--loader', 'direct'];
    const fetch = ['fetch', ...inputs, '-s', 'store', '--platform', platform];
    const first = await run(fetch);
    assert.equal(first.code, 0, first.stderr);
    const shelf = join(home, 'store', 'blobs', 'sha256');
    const path = (digest: string): string => join(shelf, digest.slice('sha256:'.length));
    const stateWithout = (digest: string): string[] =>
      readdirSync(shelf)
        .sort()
        .filter((name) => !digest.endsWith(name))
        .map((name) => {
          const { ino, mtimeMs, mode } = statSync(join(shelf, name));
          return `${name} ${ino} ${mtimeMs} ${mode}`;
        });
    for (const [name, digest] of Object.entries(blobs))
      for (const what of ['gone', 'spoilt']) {
        const others = stateWithout(digest);
        const content = readFileSync(path(digest));
        const spoil = what === 'gone' ? 'rm -f "$0"' : 'printf x >>"$0"';
        await mustAsRoot('sh', ['-c', spoil, path(digest)]);
        const again = await run(fetch);
        assert.equal(again.code, 0, `${name} ${what}: ${again.stderr}`);
        assert.deepEqual(readFileSync(path(digest)), content);
        assert.deepEqual(stateWithout(digest), others, `${name} ${what}`);
      }
    const verified = await run(['store', 'verify', '-s', 'store']);
    assert.equal(verified.code, 0, verified.stderr);
  });
