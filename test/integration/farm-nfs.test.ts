import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BOARDS, boardArguments, publishFarm, writeFarmBundles, type Board } from '../rig/farm.ts';
import { noise } from '../rig/image.ts';
import { guestNetwork, nfsScripts } from '../rig/nfs.ts';
import { must } from '../rig/process.ts';
import { startRegistry } from '../rig/registry.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { inUserModeLinux } from '../rig/user-mode-linux.ts';
import { blobGets } from './fetch-fixture.ts';

/**
 * Two machines that share a store over NFS 4.2: each is a kernel of its own, one of them the server, the other its
 * client with all that a client remembers.
 */
/** Two more kernels on a machine that is busy take minutes: in `make soak` alone. */
const soakTest = rounds(0, 1) === 1 ? test : () => undefined;
const count = 14;
/** Some of each platform. */
const boards = [...BOARDS].reverse().slice(0, count);

soakTest(
  `two machines and ${count} boards on one store over NFS: each blob once`,
  { timeout: 900_000 },
  async (t) => {
    const { address, namespace, taps } = await guestNetwork(t, 2);
    const dir = temporaryTree(t);
    const local = await startRegistry(t, { storage: join(dir, 'registry') });
    const images = await publishFarm(local, (seed, size) => ({
      [`usr/share/${seed}`]: noise(seed, size * 20_000),
    }));
    const registry = await startRegistry(t, { storage: local.storage, at: { namespace, address } });
    const { farm: bundle } = await writeFarmBundles(dir, registry.host);
    const pins = join(dir, 'pins.json');
    await pinAll(t, ['-b', bundle, '-p', pins, '--mirror', local.host]);
    const program = join(dir, 'stowage.mjs');
    copyFileSync(STOWAGE, program);
    const disk = join(dir, 'export.ext4');
    await must('truncate', ['-s', '1G', disk]);
    await must('mke2fs', ['-q', disk]);

    const { prologue, server, client } = await nfsScripts();
    const fetchAll = (wanted: readonly Board[]): string =>
      wanted
        .map((board) => [
          'fetch',
          '-b',
          bundle,
          '-p',
          pins,
          '-s',
          '/mnt/export/store',
          ...boardArguments(board),
        ])
        .map(
          (args) =>
            `${process.execPath} ${program} ${args.join(' ')} --loader direct --frozen || exit 1`,
        )
        .join('\n');
    const insecure = `export STOWAGE_INSECURE=${registry.host}`;
    const meet = (own: string, other: string): string =>
      `touch /mnt/export/${own}; until [ -e /mnt/export/${other} ]; do sleep 0.2; done`;
    const east = `${prologue}\n${server}\n${insecure}
guest east 10 && serve || exit 1
${meet('east', 'west')}
${fetchAll(boards)}
${meet('east-is-done', 'west-is-done')}
${process.execPath} ${program} store verify -s /mnt/export/store || exit 1
ls -A /mnt/export/store/locks /mnt/export/store/staging`;
    const west = `${prologue}\n${client}\n${insecure}
guest west 11 && join_server 10 || exit 1
${meet('west', 'east')}
${fetchAll([...boards].reverse())}
${meet('west-is-done', 'east-is-done')}`;
    const [tapEast = '', tapWest = ''] = taps;
    const options = { memory: '900M', deadline: 800_000 };
    const said = await Promise.all([
      inUserModeLinux(t, [disk], east, { ...options, network: { namespace, tap: tapEast } }),
      inUserModeLinux(t, [], west, { ...options, network: { namespace, tap: tapWest } }),
    ]);
    const gets = blobGets(await registry.requests());
    const twice = [...gets].filter(([, times]) => times !== 1);
    assert.deepEqual(twice, [], said.join('\n'));
    assert.ok(gets.size > images.blobs.size / 2, String(gets.size));
    if (count === BOARDS.length) assert.equal(gets.size, images.blobs.size);
  },
);

async function pinAll(t: TestContext, inputs: readonly string[]): Promise<void> {
  for (const board of boards) {
    const args = ['pin', ...inputs, ...boardArguments(board), '--loader', 'direct'];
    const { code, stderr } = await runStowage(t, args);
    assert.equal(code, 0, stderr);
  }
}

soakTest(
  'a client of NFS goes on to deny what has come, until the directory is opened',
  { timeout: 300_000 },
  async (t) => {
    // What src/store/claims.ts relies on, and why it has to.
    const { namespace, taps } = await guestNetwork(t, 2);
    const dir = temporaryTree(t);
    const disk = join(dir, 'export.ext4');
    await must('truncate', ['-s', '64M', disk]);
    await must('mke2fs', ['-q', disk]);
    const look = join(dir, 'look.mjs');
    writeFileSync(
      look,
      `import { closeSync, existsSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
const [blobs, flags] = ['/mnt/export/blobs', '/mnt/export/flags'];
const seen = [existsSync(blobs + '/blob')];
writeFileSync(flags + '/looked', '');
while (!readdirSync(flags).includes('published')) await sleep(200);
seen.push(existsSync(blobs + '/blob'));
closeSync(openSync(blobs));
seen.push(existsSync(blobs + '/blob'));
console.log('seen: ' + seen.join(' '));
writeFileSync(flags + '/done', '');
`,
    );
    const { prologue, server, client } = await nfsScripts();
    const east = `${prologue}\n${server}
guest east 10 && serve || exit 1
mkdir /mnt/export/blobs /mnt/export/flags; touch /mnt/export/ready
until [ -e /mnt/export/flags/looked ]; do sleep 0.2; done
touch /mnt/export/blobs/blob /mnt/export/flags/published
until [ -e /mnt/export/flags/done ]; do sleep 0.2; done`;
    const west = `${prologue}\n${client}
guest west 11 && join_server 10 || exit 1
until [ -e /mnt/export/ready ]; do sleep 0.2; done
${process.execPath} ${look}`;
    const [tapEast = '', tapWest = ''] = taps;
    const options = { memory: '500M', deadline: 120_000 };
    const [, said] = await Promise.all([
      inUserModeLinux(t, [disk], east, { ...options, network: { namespace, tap: tapEast } }),
      inUserModeLinux(t, [], west, { ...options, network: { namespace, tap: tapWest } }),
    ]);
    assert.match(said, /seen: false false true/u);
  },
);
