import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { before, describe, it } from 'node:test';
import type { Image } from '../rig/image.ts';
import { makeImage, makeLayer } from '../rig/image.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import type { Outcome } from '../rig/process.ts';
import { must, run } from '../rig/process.ts';
import { push, putManifest } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** Real signatures: GPG's by skopeo with a lookaside on disk, sigstore's as cosign attaches them. */
const owner = fileOwner();
const SIGNER = 'release@stowage.test';
let directory: string;
let registry: Registry;
let registriesDirectory: string;
let gpgHome: string;
let signed: Image;
let policy: string;
let runs = 0;

before(async () => {
  directory = temporaryTree(owner);
  registry = await startRegistry(owner);
  gpgHome = join(directory, 'gpg');
  await mkdir(gpgHome, { mode: 0o700 });
  const gpg = (...args: string[]): Promise<string> =>
    must('gpg', ['--homedir', gpgHome, '--batch', '--passphrase', '', ...args]);
  await gpg('--quick-generate-key', SIGNER, 'default', 'sign');
  atEnd(owner, async () => {
    await run('gpgconf', ['--homedir', gpgHome, '--kill', 'all']);
  });
  const key = join(directory, 'key.gpg');
  await gpg('--output', key, '--export', SIGNER);

  signed = await makeImage({ platform: 'linux/amd64', layers: [await makeLayer({ a: 'signed' })] });
  const plain = await makeImage({ platform: 'linux/amd64', layers: [{ a: 'plain' }] });
  await push(registry, 'home/signed:1', signed);
  await push(registry, 'home/plain:1', plain);
  registriesDirectory = join(directory, 'registries.d');
  const lookaside = join(directory, 'lookaside');
  mkdirSync(registriesDirectory);
  writeFileSync(
    join(registriesDirectory, 'test.yaml'),
    `docker:\n  ${registry.host}:\n    sigstore: file://${lookaside}\n    sigstore-staging: file://${lookaside}\n`,
  );
  await must(
    'skopeo',
    [
      ...['--insecure-policy', '--registries.d', registriesDirectory, 'copy', '--quiet'],
      ...['--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false'],
      ...['--sign-by', SIGNER, `docker://${registry.host}/home/signed:1`],
      `docker://${registry.host}/home/signed:1`,
    ],
    { env: { ...process.env, GNUPGHOME: gpgHome, LC_ALL: 'C' } },
  );
  policy = writePolicy('gpg', { [registry.host]: [signedBy(key)] });
});

describe('a policy that wants a GPG signature', () => {
  it('accepts the signed image, and the signature is kept beside it', async (t) => {
    const { outcome, store } = await fetch(t, `docker://${registry.host}/home/signed:1`, policy);
    assert.equal(outcome.code, 0, outcome.stderr);
    const layout = join(store, 'images', (await readdir(join(store, 'images')))[0] ?? '');
    const kept = await readFile(join(layout, 'signatures', 'signature-1'));
    const hex = signed.descriptor.digest.slice(7);
    const original = join(directory, 'lookaside/home', `signed@sha256=${hex}`, 'signature-1');
    assert.deepEqual(kept, await readFile(original));
    // Good evidence: another program takes it for what it is.
    const manifest = join(store, 'blobs/sha256', hex);
    const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(
      await must('gpg', ['--homedir', gpgHome, '--with-colons', '--fingerprint', SIGNER]),
    )?.[1];
    await must(
      'skopeo',
      [
        ...['standalone-verify', manifest, `${registry.host}/home/signed:1`],
        ...[fingerprint ?? '', join(layout, 'signatures', 'signature-1')],
      ],
      { env: { ...process.env, GNUPGHOME: gpgHome, LC_ALL: 'C' } },
    );
  });

  it('rejects the unsigned one with 5 at once, and says so', async (t) => {
    const { outcome, store } = await fetch(t, `docker://${registry.host}/home/plain:1`, policy);
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(
      outcome.stderr,
      /the signature policy does not accept it: .*signature was required/,
    );
    assert.doesNotMatch(outcome.stderr, /attempt/);
    assert.deepEqual(await readdir(join(store, 'blobs/sha256')), []);
  });

  it('rejects a signature by somebody else', async (t) => {
    const home = join(directory, 'gpg-other');
    await mkdir(home, { mode: 0o700 });
    const gpg = ['--homedir', home, '--batch', '--passphrase', ''];
    await must('gpg', [...gpg, '--quick-generate-key', 'other@stowage.test', 'default', 'sign']);
    const key = join(directory, 'other.gpg');
    await must('gpg', [...gpg, '--output', key, '--export', 'other@stowage.test']);
    await run('gpgconf', ['--homedir', home, '--kill', 'all']);
    const other = writePolicy('other', { [registry.host]: [signedBy(key)] });
    const { outcome } = await fetch(t, `docker://${registry.host}/home/signed:1`, other);
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /the signature policy does not accept it/);
  });

  it('is not evaded by a mirror', async (t) => {
    const upstream = 'upstream.stowage.test';
    const strict = writePolicy('strict', { [upstream]: [signedBy(join(directory, 'key.gpg'))] });
    const mirror = ['--mirror', registry.host, '--mirror-only'];
    for (const name of ['plain', 'signed']) {
      // The signature names the mirror's own name, so it is none of the upstream's either.
      const { outcome } = await fetch(t, `docker://${upstream}/home/${name}:1`, strict, mirror);
      assert.equal(outcome.code, 5, outcome.stderr);
      assert.match(outcome.stderr, /the signature policy does not accept it/);
    }
    await must(
      'skopeo',
      [
        ...['--insecure-policy', '--registries.d', registriesDirectory, 'copy', '--quiet'],
        ...['--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false'],
        ...['--sign-by', SIGNER, '--sign-identity', `${upstream}/home/signed:1`],
        ...['--remove-signatures', `docker://${registry.host}/home/signed:1`],
        `docker://${registry.host}/mirrored/home/signed:1`,
      ],
      { env: { ...process.env, GNUPGHOME: gpgHome, LC_ALL: 'C' } },
    );
    const mirrored = ['--mirror', `${registry.host}/mirrored`, '--mirror-only'];
    const from = `docker://${upstream}/home/signed:1`;
    const { outcome, store } = await fetch(t, from, strict, mirrored);
    assert.equal(outcome.code, 0, outcome.stderr);
    const layout = join(store, 'images', (await readdir(join(store, 'images')))[0] ?? '');
    assert.deepEqual(await readdir(join(layout, 'signatures')), ['signature-1']);
  });

  it('holds for images on this machine, and their signatures are kept', async (t) => {
    const at = join(directory, 'dir-signed');
    await must(
      'skopeo',
      [
        ...['--insecure-policy', 'copy', '--quiet', '--preserve-digests', '--src-tls-verify=false'],
        ...['--sign-by', SIGNER, '--sign-identity', 'r.io/x/signed:1'],
        ...[`docker://${registry.host}/home/plain:1`, `dir:${at}`],
      ],
      { env: { ...process.env, GNUPGHOME: gpgHome, LC_ALL: 'C' } },
    );
    const identity = { type: 'exactReference', dockerReference: 'r.io/x/signed:1' };
    const requirement = { ...signedBy(join(directory, 'key.gpg')), signedIdentity: identity };
    const strict = writePolicy('dir', {}, { dir: { '': [requirement] } });
    const { outcome, store } = await fetch(t, `dir:${at}`, strict);
    assert.equal(outcome.code, 0, outcome.stderr);
    const names = await readdir(join(store, 'images'));
    const own = names.find((name) => name.startsWith('docker.io_library_a_'));
    const layout = join(store, 'images', own ?? '');
    assert.deepEqual(
      await readFile(join(layout, 'signatures', 'signature-1')),
      await readFile(join(at, 'signature-1')),
    );
    await must('rm', [join(at, 'signature-1')]);
    const unsigned = await fetch(t, `dir:${at}`, strict);
    assert.equal(unsigned.outcome.code, 5, unsigned.outcome.stderr);
  });
});

describe('a policy that can not be used', () => {
  for (const [name, text] of [
    ['is no JSON', 'yes, please'],
    ['has an unknown requirement', '{"default":[{"type":"mostlyHarmless"}]}'],
  ] as const)
    it(`accepts nothing when it ${name}`, async (t) => {
      const path = join(directory, `bad-${runs}.json`);
      writeFileSync(path, text);
      const { outcome } = await fetch(t, `docker://${registry.host}/home/plain:1`, path);
      assert.equal(outcome.code, 5, outcome.stderr);
      assert.match(outcome.stderr, /trust policy/);
    });

  it('accepts nothing when it is not there', async (t) => {
    const absent = join(directory, 'absent.json');
    const { outcome } = await fetch(t, `docker://${registry.host}/home/plain:1`, absent);
    assert.equal(outcome.code, 2, outcome.stderr);
    assert.match(outcome.stderr, /--policy/);
  });

  it("is honoured when it is the user's own, and none is given", async (t) => {
    const home = join(directory, 'home');
    await mkdir(join(home, '.config/containers'), { recursive: true });
    writeFileSync(join(home, '.config/containers/policy.json'), '{"default":[{"type":"reject"}]}');
    const env = { HOME: home };
    const from = `docker://${registry.host}/home/plain:1`;
    const { outcome } = await fetch(t, from, undefined, [], env);
    assert.equal(outcome.code, 5, outcome.stderr);
    assert.match(outcome.stderr, /rejected by policy/);
  });
});

describe('a policy that wants a sigstore signature', () => {
  it('accepts the signed image, rejects the unsigned one, and keeps what is attached', async (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = join(directory, 'cosign.pub');
    writeFileSync(key, publicKey.export({ type: 'spki', format: 'pem' }));
    const image = await makeImage({ platform: 'linux/amd64', layers: [{ a: 'sigstore' }] });
    await push(registry, 'sigstore/signed:1', image);
    const payload = JSON.stringify({
      critical: {
        identity: { 'docker-reference': `${registry.host}/sigstore/signed` },
        image: { 'docker-manifest-digest': image.descriptor.digest },
        type: 'cosign container image signature',
      },
      optional: {},
    });
    const signature = sign('sha256', Buffer.from(payload), privateKey).toString('base64');
    await attach('sigstore/signed', image.descriptor.digest, payload, signature);
    const places = join(directory, 'sigstore.d');
    mkdirSync(places);
    writeFileSync(
      join(places, 'test.yaml'),
      `docker:\n  ${registry.host}/sigstore:\n    use-sigstore-attachments: true\n`,
    );
    const strict = writePolicy('sigstore', {
      [registry.host]: [
        {
          type: 'sigstoreSigned',
          keyPath: key,
          signedIdentity: { type: 'matchRepository' },
        },
      ],
    });
    const from = `docker://${registry.host}/sigstore/signed:1`;
    const good = await fetch(t, from, strict, ['--registries-dir', places]);
    // Debian 12 takes them out of its skopeo, which then accepts nothing that must have one.
    const has = !/sigstore disabled/.test(good.outcome.stderr);
    assert.equal(good.outcome.code, has ? 0 : 5, good.outcome.stderr);
    const kept = has ? good : await fetch(t, from, undefined, ['--registries-dir', places]);
    assert.equal(kept.outcome.code, 0, kept.outcome.stderr);
    const images = join(kept.store, 'images');
    const layout = join(images, (await readdir(images))[0] ?? '', 'signatures/sigstore');
    assert.equal(await readFile(join(layout, 'blobs/sha256', sha256(payload)), 'utf8'), payload);

    const plain = await makeImage({ platform: 'linux/amd64', layers: [{ a: 'not signed' }] });
    await push(registry, 'sigstore/plain:1', plain);
    const unsigned = `docker://${registry.host}/sigstore/plain:1`;
    const bad = await fetch(t, unsigned, strict, ['--registries-dir', places]);
    assert.equal(bad.outcome.code, 5, bad.outcome.stderr);
    assert.match(bad.outcome.stderr, /the signature policy does not accept it/);
  });
});

interface Fetched {
  readonly outcome: Outcome;
  readonly store: string;
}

async function fetch(
  t: TestContext,
  from: string,
  policyFile: string | undefined,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Fetched> {
  const place = join(directory, `run-${runs++}`);
  await mkdir(place);
  const bundle = join(place, 'bundle.yaml');
  // Of one image under two names only one is downloaded, and judged: a local one has a name of its own here.
  const dind = from.startsWith('dir:') ? `docker://${registry.host}/home/signed:1` : from;
  writeFileSync(
    bundle,
    `stowage: 1\nengine: { dind: "${dind}" }\nimages: { a: { from: "${from}", tags: [a] } }\n`,
  );
  const store = join(place, 'store');
  const outcome = await runStowage(
    t,
    [
      ...['fetch', '-b', bundle, '-p', join(place, 'pins.json'), '-s', store],
      ...['--platform', 'linux/amd64', '--retry-delays', '0'],
      ...(policyFile === undefined ? [] : ['--policy', policyFile]),
      ...(args.includes('--registries-dir') ? [] : ['--registries-dir', registriesDirectory]),
      ...args,
    ],
    { env },
  );
  return { outcome, store };
}

function signedBy(keyPath: string): Readonly<Record<string, unknown>> {
  return { type: 'signedBy', keyType: 'GPGKeys', keyPath };
}

/** What is not named is let in. */
function writePolicy(
  name: string,
  docker: Readonly<Record<string, unknown>>,
  transports: Readonly<Record<string, unknown>> = {},
): string {
  const path = join(directory, `${name}-policy.json`);
  const anything = [{ type: 'insecureAcceptAnything' }];
  writeFileSync(path, JSON.stringify({ default: anything, transports: { docker, ...transports } }));
  return path;
}

/** As cosign attaches a signature: an image of its own under a tag made of the digest. */
async function attach(
  repository: string,
  digest: string,
  payload: string,
  signature: string,
): Promise<void> {
  const config = JSON.stringify({
    architecture: '',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(payload)}`] },
  });
  for (const blob of [payload, config]) await putBlob(repository, blob);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: `sha256:${sha256(config)}`,
      size: config.length,
    },
    layers: [
      {
        mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
        digest: `sha256:${sha256(payload)}`,
        size: payload.length,
        annotations: { 'dev.cosignproject.cosign/signature': signature },
      },
    ],
  });
  const tag = `${digest.replace(':', '-')}.sig`;
  const type = 'application/vnd.oci.image.manifest.v1+json';
  await putManifest(registry, `${repository}:${tag}`, type, manifest);
}

async function putBlob(repository: string, blob: string): Promise<void> {
  const started = await globalThis.fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, {
    method: 'POST',
  });
  const location = new URL(started.headers.get('location') ?? '', registry.url);
  location.searchParams.set('digest', `sha256:${sha256(blob)}`);
  const put = await globalThis.fetch(location, { method: 'PUT', body: blob });
  assert.equal(put.status, 201);
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
