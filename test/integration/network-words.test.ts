import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeImage } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage, type StowageOptions } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** Who did not answer is named, and what this machine got wrong is not tried again. */
const registry = await startRegistry(fileOwner());
const platform = 'linux/amd64';
const image = await makeImage({ platform, layers: [{ 'etc/name': 'app' }] });
await push(registry, 'home/app:1', image);

async function pin(
  t: TestContext,
  host: string,
  more: readonly string[] = [],
  options: StowageOptions = {},
): Promise<{ code: number | null; stderr: string }> {
  const dir = temporaryTree(t);
  const bundle = join(dir, 'bundle.yaml');
  writeFileSync(bundle, `stowage: 1\nimages: { app: { from: 'docker://${host}/home/app:1' } }\n`);
  const target = ['--loader', 'direct', '--platform', platform, '--retry-delays', '0.1'];
  const args = ['pin', '-b', bundle, '-p', join(dir, 'pins.json'), ...target, ...more];
  return runStowage(t, args, options);
}

/** A port where nobody listens. */
async function deadHost(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

test('a registry where nothing listens', async (t) => {
  const host = await deadHost();
  const { code, stderr } = await pin(t, host);
  assert.equal(code, 4, stderr);
  assert.match(
    stderr,
    new RegExp(
      `\\nstowage: app: .*${host}.*connection refused \\(2 attempts\\)\\n {2}hint: nothing listens at this host and port: `,
    ),
  );
});

test('a dead mirror is named, alone and beside a dead registry', async (t) => {
  const [mirror, host] = [await deadHost(), await deadHost()];
  const only = await pin(t, registry.host, ['--mirror', `${mirror}/cache`, '--mirror-only']);
  assert.equal(only.code, 4, only.stderr);
  assert.match(
    only.stderr,
    new RegExp(
      `\\nstowage: app: the mirror ${mirror}/cache: .*connection refused \\(2 attempts\\)\\n {2}hint: see whether ${mirror}/cache of --mirror is right and up, `,
    ),
  );
  const both = await pin(t, host, ['--mirror', mirror]);
  assert.equal(both.code, 4, both.stderr);
  assert.match(
    both.stderr,
    new RegExp(
      `\\nstowage: app: nobody who was asked gave it \\(2 attempts\\):\\n {2}the mirror ${mirror}: .*\\n {2}the registry ${host}: .*\\n {2}hint: see whether ${mirror} of --mirror `,
    ),
  );
  assert.equal((await pin(t, registry.host, ['--mirror', mirror])).code, 0);
});

for (const [name, path, content, said] of [
  [
    'registries.conf',
    'registries.conf',
    'unqualified-search-registries = [\n',
    /loading registries configuration "\/\S+\/registries\.conf": toml: /,
  ],
  [
    'a registry that it blocks',
    'registries.conf',
    `[[registry]]\nlocation = "${registry.host}"\nblocked = true\n`,
    /registry \S+ is blocked in \/\S+\/registries\.conf/,
  ],
  [
    'registries.d',
    'registries.d/product.yaml',
    'docker: [\n',
    /parsing \/\S+\/registries\.d\/product\.yaml: /,
  ],
] as const)
  test(`a mistake of this machine's is told at once: ${name}`, async (t) => {
    const home = temporaryTree(t);
    const containers = join(home, '.config/containers');
    mkdirSync(join(containers, 'registries.d'), { recursive: true });
    writeFileSync(join(containers, path), content);
    const { code, stderr } = await pin(t, registry.host, [], { env: { HOME: home } });
    assert.equal(code, 6, stderr);
    assert.match(stderr, said);
    assert.match(
      stderr,
      /^stowage: skopeo failed while reading its configuration: .*\n {2}hint: mend the file that it names: /mu,
    );
    assert.doesNotMatch(stderr, /attempt|again in/u);
  });
