import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import type { DescribedImage } from '../../../src/sbom/described-image.ts';
import type { Files, Layer } from '../../rig/image.ts';
import { digestOf, makeImage, makeLayer, noise } from '../../rig/image.ts';
import { ALPINE, APK, DEBIAN, describeAll, DPKG, refusedBy, storeOf } from './samples.ts';

const platform = 'linux/amd64';
const FIXTURES = join(import.meta.dirname, '..', 'packages', 'fixtures');
const RPMDB = gunzipSync(readFileSync(join(FIXTURES, 'rpmdb.sqlite.gz')));

/** What is found in an image of these layers, and the warnings. */
async function found(
  t: TestContext,
  ...layers: readonly (Files | Layer)[]
): Promise<DescribedImage & { readonly warnings: readonly string[] }> {
  const { images, warnings } = await describeAll(
    await storeOf(t, { app: await makeImage({ platform, layers }) }),
  );
  const [image] = images;
  assert.ok(image);
  return { ...image, warnings };
}

const names = ({ packages }: DescribedImage): string[] => packages.map(({ name }) => name);

void describe('describeImages', () => {
  void it('reads the databases of each kind of image', async (t) => {
    const debian = await found(t, { 'etc/os-release': DEBIAN, 'var/lib/dpkg/status': DPKG });
    assert.deepEqual(names(debian), ['libc6', 'half']);
    assert.deepEqual(debian.distribution, {
      id: 'debian',
      name: 'Debian GNU/Linux',
      version: '12',
    });
    const alpine = await found(t, { 'etc/os-release': ALPINE, 'lib/apk/db/installed': APK });
    assert.deepEqual(names(alpine), ['musl', 'old-words']);
    assert.deepEqual(alpine.distribution?.version, '3.22.1');
    const distroless = await found(t, {
      'etc/os-release': { type: 'symlink', target: '../usr/lib/os-release' },
      'usr/lib/os-release': DEBIAN,
      'var/lib/dpkg/status.d/base': 'Package: base-files\nVersion: 12.4\n',
      'var/lib/dpkg/status.d/base.md5sums': 'Package: wrong\nVersion: 1\n',
    });
    assert.deepEqual(names(distroless), ['base-files']);
    assert.equal(distroless.distribution?.id, 'debian');
    const fedora = await found(t, { 'usr/lib/sysimage/rpm/rpmdb.sqlite': RPMDB });
    assert.deepEqual(names(fedora), ['alpha', 'beta']);
    assert.equal(fedora.distribution, undefined);
    const scratch = await found(t, { app: 'static' });
    assert.deepEqual([names(scratch), scratch.unread], [[], []]);
  });

  void it('merges layers: what is above counts, whiteouts and opaque directories hide', async (t) => {
    const base = {
      'var/lib/dpkg/status': DPKG,
      'var/lib/dpkg/status.d/old': 'Package: old\nVersion: 1\n',
    };
    const above = await found(t, base, { 'var/lib/dpkg/status': 'Package: new\nVersion: 2\n' });
    assert.deepEqual(names(above), ['new', 'old']);
    assert.deepEqual(names(await found(t, base, { 'var/lib/dpkg/.wh.status': '' })), ['old']);
    assert.deepEqual(names(await found(t, base, { 'var/lib/.wh.dpkg': '' })), []);
    assert.deepEqual(names(await found(t, base, { 'var/.wh.lib': '', 'opt/x': '' })), []);
    const opaque = {
      'var/lib/dpkg/status.d/.wh..wh..opq': '',
      'var/lib/dpkg/status.d/new': 'Package: newer\nVersion: 1\n',
    };
    assert.deepEqual(names(await found(t, base, opaque)), ['libc6', 'half', 'newer']);
    assert.deepEqual(names(await found(t, base, { 'var/lib': 'a file' })), []);
    const back = await found(t, base, { 'var/.wh.lib': '' }, { 'var/lib/dpkg/status': DPKG });
    assert.deepEqual(names(back), ['libc6', 'half']);
  });

  void it('reads layers that are packed by gzip, by zstd, or not at all', async (t) => {
    const files = { 'lib/apk/db/installed': APK };
    const plain = await makeLayer(files, { gzip: false });
    const blob = execFileSync('zstd', ['-qc'], { input: plain.blob });
    const zstd = { ...plain, blob, digest: digestOf(blob) };
    for (const layer of [plain, zstd, await makeLayer(files)])
      assert.deepEqual(names(await found(t, layer)), ['musl', 'old-words']);
  });

  void it('follows links to databases, and counts none twice', async (t) => {
    const merged = await found(t, {
      lib: { type: 'symlink', target: 'usr/lib' },
      'usr/lib/apk/db/installed': APK,
    });
    assert.deepEqual(names(merged), ['musl', 'old-words']);
    const moved = await found(t, {
      'var/lib/rpm': { type: 'symlink', target: '/usr/share/rpm' },
      'usr/share/rpm/rpmdb.sqlite': RPMDB,
    });
    assert.deepEqual(names(moved), ['alpha', 'beta']);
    const circle = await found(t, { 'var/lib': { type: 'symlink', target: '/var/lib' } });
    assert.deepEqual([names(circle), circle.unread], [[], []]);
  });

  void it('tells of what is there and can not be read', async (t) => {
    const berkeley = await found(t, { 'var/lib/rpm/Packages': '\0\0\0\0 berkeley' });
    assert.deepEqual(berkeley.unread, [
      "var/lib/rpm/Packages: a database of rpm that can't be read",
    ]);
    assert.deepEqual(berkeley.warnings, [`app: ${berkeley.unread[0] ?? ''}`]);
    const unread: readonly (readonly [Files, RegExp])[] = [
      [{ 'usr/lib/sysimage/rpm/Packages.db': 'ndb' }, /rpm\/Packages\.db: .* of rpm/],
      [{ 'var/lib/rpm/rpmdb.sqlite': RPMDB.subarray(0, 20_000) }, /rpmdb\.sqlite: .* of rpm/],
      [
        { 'var/lib/rpm/rpmdb.sqlite': RPMDB, 'var/lib/rpm/rpmdb.sqlite-wal': 'news' },
        /rpmdb\.sqlite-wal/,
      ],
      [{ 'var/lib/pacman/local/x/desc': '' }, /packages of pacman, which is not known/],
      [{ 'usr/lib/opkg/status': '' }, /packages of opkg/],
      [
        {
          'opt/status': DPKG,
          'var/lib/dpkg/status': { type: 'link', target: 'opt/status' },
        },
        /dpkg\/status: a database of dpkg that can't be read/,
      ],
    ];
    for (const [files, pattern] of unread) {
      const image = await found(t, files);
      assert.match(image.unread.join('\n'), pattern);
      assert.equal(image.warnings.length, image.unread.length);
      assert.deepEqual(names(image), []);
    }
  });

  void it('takes no time and no memory without end for a database that is made to', async (t) => {
    const many = await found(t, {
      'var/lib/dpkg/status': 'Package: a\nVersion: 1\n\n'.repeat(150_000),
    });
    assert.deepEqual(names(many), []);
    assert.match(many.unread.join(), /^var\/lib\/dpkg\/status: a database of dpkg/);
    for (const filler of [' ', '\n', '-', '(', '<', 'a-', 'Package: ', '\0']) {
      const status = `Package: a\nVersion: 1\nMaintainer: ${filler.repeat(300_000)}\n`;
      assert.deepEqual(names(await found(t, { 'var/lib/dpkg/status': status })), ['a']);
    }
  });

  void it('takes labels, and annotations where there is no label', async (t) => {
    const image = await makeImage({
      platform,
      layers: [{ app: '' }],
      config: { Labels: { 'org.opencontainers.image.licenses': 'MIT', odd: 7, half: '\ud800' } },
    });
    const { images } = await describeAll(await storeOf(t, { app: image }));
    assert.deepEqual(images[0]?.labels, {
      'org.opencontainers.image.licenses': 'MIT',
      half: '\ufffd',
    });
    assert.equal(images[0].created?.toISOString(), '2023-11-14T22:13:20.000Z');
  });

  void it('reads an image of several targets once', async (t) => {
    const { store, pins } = await storeOf(t, {
      app: await makeImage({ platform, layers: [{ 'lib/apk/db/installed': APK }] }),
    });
    const other = { ...pins, target: { ...pins.target, machine: 'board' } };
    const steps: string[] = [];
    const { describeImages } = await import('../../../src/sbom/describe-images.ts');
    const images = await describeImages([other, pins], store, {
      signal: new AbortController().signal,
      report: ({ type }) => steps.push(type),
    });
    assert.ok(images.ok);
    assert.deepEqual(steps, ['step']);
    assert.deepEqual(
      images.value.map(({ targets }) => targets),
      [['linux/amd64', 'linux/amd64 board']],
    );
  });
});

void describe('a store that is not what its pins say', () => {
  const image = makeImage({ platform, layers: [{ a: noise(1, 100_000) }, { b: 'b' }] });
  const blobOf = async (part: 'manifest' | 'config' | 'layer'): Promise<string> => {
    const { descriptor, config, layers } = await image;
    return { manifest: descriptor, config, layer: layers[0] ?? config }[part].digest.slice(7);
  };

  for (const part of ['manifest', 'config', 'layer'] as const)
    void it(`refuses a ${part} that is missing, cut off, or changed`, async (t) => {
      const samples = await storeOf(t, { app: await image });
      const path = join(samples.store.directory, 'blobs', 'sha256', await blobOf(part));
      const good = readFileSync(path);
      const bad = Buffer.from(good);
      bad[good.length - 3] = (bad[good.length - 3] ?? 0) ^ 1;
      const damages: readonly (readonly [string, () => void])[] = [
        [
          'wrong digest',
          () => {
            writeFileSync(path, bad);
          },
        ],
        [
          'wrong size',
          () => {
            truncateSync(path, good.length - 1);
          },
        ],
        [
          'missing',
          () => {
            rmSync(path);
          },
        ],
      ];
      for (const [problem, damage] of damages) {
        damage();
        const failure = await refusedBy(samples);
        assert.equal(failure.reason, 'blob-bad');
        assert.deepEqual([failure.problem, failure.owner], [problem, 'app']);
        assert.equal(exitCodeOf(failure), 3);
      }
    });

  void it('tells a layer that was made wrong from one that was damaged here', async (t) => {
    for (const blob of [Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]), Buffer.from('x'.repeat(2000))]) {
      const layer = { blob, digest: digestOf(blob), diffId: digestOf(blob), compressed: true };
      const failure = await refusedBy(
        await storeOf(t, { app: await makeImage({ platform, layers: [layer] }) }),
      );
      assert.equal(failure.reason, 'layer-bad');
      assert.deepEqual([failure.image, failure.layer], ['app', layer.digest]);
    }
  });

  void it('ends when it is told to', async (t) => {
    const samples = await storeOf(t, { app: await image });
    const failure = await refusedBy(samples, AbortSignal.abort('SIGINT'));
    assert.deepEqual(failure, { reason: 'interrupted', signal: 'SIGINT' });
  });
});
