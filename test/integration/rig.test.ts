import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { startDevice } from '../rig/device-engine.ts';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine } from '../rig/engine.ts';
import { startFaultProxy, type Fault } from '../rig/fault-proxy.ts';
import { digestOf, makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { programOwner } from '../rig/owner.ts';
import { must, mustAsRoot, run } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';

// The rig judges stowage; here the real curl, skopeo and dockerd judge the rig.

void test('the same description gives the same image', async () => {
  const describe = () =>
    makeImage({ platform: 'linux/arm/v7', layers: [{ 'a/b': 'x' }], config: { Cmd: ['/a/b'] } });
  const [one, other] = [await describe(), await describe()];
  assert.equal(one.descriptor.digest, other.descriptor.digest);
  for (const [digest, blob] of one.blobs) assert.equal(digestOf(blob), digest);
});

for (const format of ['oci', 'docker'] as const)
  void test(`a registry serves what was pushed as ${format}, byte for byte, and logs it`, async (t) => {
    const registry = await startRegistry(t);
    const base = await makeLayer({ etc: { type: 'directory' }, 'etc/base': 'shared' });
    const images = {
      'linux/amd64': await makeImage({ platform: 'linux/amd64', layers: [base], format }),
      'linux/arm64': await makeImage({
        ...{ platform: 'linux/arm64', format },
        layers: [base, { 'etc/base': { content: 'other', mode: 0o600 } }],
      }),
    };
    const index = makeIndex(images, format);
    await push(registry, 'sample/two:1', index);
    await registry.forget();
    assert.deepEqual(await registry.requests(), []);
    const raw = await must('skopeo', [
      ...['inspect', '--raw', '--tls-verify=false', `docker://${registry.host}/sample/two:1`],
    ]);
    assert.equal(digestOf(Buffer.from(raw)), index.descriptor.digest);
    const arm = images['linux/arm64'].descriptor.digest;
    const requests = await registry.requests();
    assert.ok(
      requests.some(
        ({ method, path, status }) =>
          method === 'GET' && path === '/v2/sample/two/manifests/1' && status === 200,
      ),
      JSON.stringify(requests),
    );
    const copy = join(temporaryTree(t), 'copy');
    await must('skopeo', [
      ...['--insecure-policy', 'copy', '--preserve-digests', '--src-tls-verify=false'],
      ...[`docker://${registry.host}/sample/two@${arm}`, `oci:${copy}:x`],
    ]);
    for (const digest of images['linux/arm64'].blobs.keys())
      assert.ok(statSync(join(copy, 'blobs', 'sha256', digest.slice(7))).isFile());
  });

void test('the command line runs in an environment of its own, also as somebody else', async (t) => {
  const version = await runStowage(t, ['--version']);
  assert.equal(version.code, 0, version.stderr);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  const user = await unprivilegedUser(t);
  const secret = join(temporaryTree(t), 'pins.json');
  await must('install', ['-m', '0600', '/dev/null', secret]);
  const refused = await runStowage(
    t,
    ['build', '-p', secret, '-b', secret, '-s', secret, '-o', 'x'],
    { user },
  );
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /no right to read it/);
});

void test('a registry with a log-in and TLS lets in who has both', async (t) => {
  const registry = await startRegistry(t, { users: { ada: 'correct horse' }, tls: true });
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ a: 'b' }] });
  await push(registry, 'private/app:1', image);
  const inspect = ['inspect', '--raw', `docker://${registry.host}/private/app:1`];
  const trusted = ['--cert-dir', registry.certificates?.dir ?? ''];
  const known = ['--authfile', registry.authfile ?? ''];
  assert.equal((await run('skopeo', [...inspect, ...trusted, ...known])).code, 0);
  assert.match((await run('skopeo', [...inspect, ...known])).stderr, /x509|certificate/);
  const stranger = ['--no-creds', ...trusted];
  assert.match((await run('skopeo', [...inspect, ...stranger])).stderr, /unauthorized|401/);
});

void test('the proxy fails as it was told to, and otherwise passes on', async (t) => {
  const registry = await startRegistry(t);
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ a: noise(1, 50_000) }] });
  await push(registry, 'app:1', image);
  const proxy = await startFaultProxy(t, { upstream: registry.url });
  const blob = image.layers[0];
  assert.ok(blob !== undefined);
  const url = `${proxy.url}/v2/app/blobs/${blob.digest}`;
  const file = join(temporaryTree(t), 'body');
  const curl = async (args: readonly string[] = []) => {
    const said = await run('curl', [
      ...[
        '-sS',
        '-o',
        file,
        '--max-time',
        '2',
        '-w',
        '%{http_code} %{size_download}',
        ...args,
        url,
      ],
    ]);
    return { code: said.code, said: said.stdout };
  };
  const whole = blob.size;
  const half = Math.floor(whole / 2);
  const match = /\/blobs\//;
  // curl's exit codes: 18 partial file, 28 timed out, 56 receive failure.
  const cases: [Fault, { code: number; said: string }][] = [
    [
      { match, kind: 'status', status: 503, times: 1 },
      { code: 0, said: '503 0' },
    ],
    [
      { match, kind: 'reset', times: 1 },
      { code: 56, said: `200 ${half}` },
    ],
    [
      { match, kind: 'truncate', times: 1 },
      { code: 18, said: `200 ${half}` },
    ],
    [
      { match, kind: 'stall', times: 1 },
      { code: 28, said: `200 ${half}` },
    ],
    [
      { match, kind: 'corrupt', times: 1 },
      { code: 0, said: `200 ${whole}` },
    ],
    [
      { match, kind: 'html', times: 1 },
      { code: 0, said: '200 65' },
    ],
    [
      { match, kind: 'delay', milliseconds: 5_000, times: 1 },
      { code: 28, said: '000 0' },
    ],
  ];
  for (const [fault, expected] of cases) {
    proxy.forget();
    proxy.setFaults([fault]);
    assert.deepEqual(await curl(), expected, fault.kind);
    assert.deepEqual(
      proxy.requests.map((request) => request.fault),
      [fault.kind],
    );
    assert.deepEqual(await curl(), { code: 0, said: `200 ${whole}` }, `after ${fault.kind}`);
    assert.equal((await must('sha256sum', [file])).slice(0, 64), blob.digest.slice(7));
  }
  proxy.setFaults([{ match, kind: 'status', status: 429, headers: { 'Retry-After': '7' } }]);
  const answer = await fetch(url);
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [429, '7']);
});

void test('a pushed image comes through the proxy, with its digest', async (t) => {
  const registry = await startRegistry(t);
  const proxy = await startFaultProxy(t, { upstream: registry.url });
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ a: 'b' }] });
  await push({ ...registry, host: proxy.host, url: proxy.url }, 'app:1', image);
  const said = await must('skopeo', [
    ...['inspect', '--tls-verify=false', `docker://${proxy.host}/app:1`],
  ]);
  assert.match(said, new RegExp(image.descriptor.digest));
});

void test('an unprivileged user may do what the rules say, and is gone at the end', async (t) => {
  const owner = programOwner();
  t.after(() => owner.end());
  const user = await unprivilegedUser(owner, ['ALL=(root) NOPASSWD: /usr/bin/id']);
  const as = (args: readonly string[]) => mustAsRoot('runuser', ['-u', user.name, '--', ...args]);
  assert.equal((await as(['id', '-u'])).trim(), String(user.uid));
  assert.equal((await as(['sudo', '-n', '/usr/bin/id', '-u'])).trim(), '0');
  await assert.rejects(as(['sudo', '-n', '/usr/bin/true']), /password is required/);
  await owner.end();
  assert.notEqual((await run('id', [user.name])).code, 0);
});

void test('the engine of the packages boots on a partition and runs a container', async (t) => {
  const before = await machineState();
  const owner = programOwner();
  t.after(() => owner.end());
  const dind = await dindImage();
  const engine = await startEngine(owner);
  await engine.load(dind);
  const [config] = JSON.parse(await engine.mustDocker(['inspect', dind.name])) as {
    Config: { Volumes: object; Env: string[]; Entrypoint: string[] };
  }[];
  assert.deepEqual(config?.Config.Volumes, { '/var/lib/docker': {} });
  assert.ok(config.Config.Env.includes('DOCKER_TLS_CERTDIR=/certs'));
  assert.deepEqual(config.Config.Entrypoint, ['dockerd-entrypoint.sh']);
  const asked = ['run', '--rm', '--network', 'none', dind.name, 'dockerd', '--version'];
  assert.match(await engine.mustDocker(asked), new RegExp(`Docker version ${dind.version}`));

  // The image's volume is what is left behind where a container is removed without -v.
  const inEngine = await machineState({ engine });
  await engine.mustDocker(['create', '--name', 'leak', dind.name]);
  await assert.rejects(assertNothingLeft(inEngine, { engine }), /leak/);
  await engine.mustDocker(['rm', 'leak']);
  await assert.rejects(assertNothingLeft(inEngine, { engine }), /volumes/);
  await engine.mustDocker(['volume', 'prune', '--force']);

  const dir = temporaryTree(owner);
  const data = join(dir, 'data.ext4');
  await must('truncate', ['-s', '64M', data]);
  await must('mke2fs', ['-q', '-t', 'ext4', data]);
  const untouched = (await must('sha256sum', [data])).slice(0, 64);
  const device = await startDevice(owner, data, { engine, dind });
  assert.equal((await must('sha256sum', [data])).slice(0, 64), untouched);
  assert.match(device.version, new RegExp(`^${dind.version.replaceAll('.', '\\.')}`));
  assert.deepEqual(await device.images(), []);
  // Without a registry and without a loader of ours: import a root that holds busybox alone.
  const root = join(device.partition, 'root.tar');
  await mustAsRoot('tar', ['-C', join(dind.busybox, '..'), '-cf', root, 'busybox']);
  const host = `unix://${join(device.partition, '..', 's', 'docker.sock')}`;
  await must('docker', ['-H', host, 'import', root, 'example.test/greeter:1']);
  const said = await device.run('example.test/greeter:1', ['/busybox', 'echo', 'hello']);
  assert.deepEqual([said.code, said.stdout], [0, 'hello\n'], said.stderr);
  assert.deepEqual(
    (await device.images()).map(({ name }) => name),
    ['example.test/greeter:1'],
  );
  await assert.rejects(assertNothingLeft(before), /left behind/);
  await owner.end();
  await assertNothingLeft(before);
});
