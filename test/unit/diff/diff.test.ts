import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { compareSubjects } from '../../../src/diff/compare-subjects.ts';
import type { Difference } from '../../../src/diff/difference.ts';
import { openSubject } from '../../../src/inspect/open-subject.ts';
import { digestOf } from '../../../src/model/digest.ts';
import { describeDifference } from '../../../src/report/describe-difference.ts';
import type { Files } from '../../rig/image.ts';
import { makeImage, writeLayout } from '../../rig/image.ts';
import { bucket } from '../verify/data-image.ts';
import { draftOverlay2, PATHS as OVERLAY2, writeOverlay2 } from '../verify/overlay2-image.ts';
import { quiet, scratch } from '../inspect/samples.ts';
import type { Layers, UnpackedDraft } from '../inspect/unpacked-image.ts';
import { draftUnpacked, PATHS, put, writePins, writeUnpacked } from '../inspect/unpacked-image.ts';

/** linux/capability.h, `vfs_cap_data`: revision 2, effective. */
const CAPABILITY = `\x01\0\0\x02\x20${'\0'.repeat(15)}`;
const TOOL = { mode: 0o4755, xattrs: { 'security.capability': CAPABILITY } };
const BASE: Files = {
  'etc/': { type: 'directory' },
  'etc/passwd': 'root:x:0:0',
  'usr/bin/': { type: 'directory' },
  'usr/bin/tool': { content: 'tool', ...TOOL },
  // A link's own member says again how the file is.
  'usr/bin/also': { type: 'link', target: 'usr/bin/tool', ...TOOL },
  'usr/link': { type: 'symlink', target: 'bin/tool' },
  'var/gone': 'soon gone',
  'opt/': { type: 'directory', mode: 0o700, uid: 7 },
  'opt/hidden': 'hidden',
};
const ONE: Files = { 'var/.wh.gone': '', 'opt/.wh..wh..opq': '', 'opt/own': 'own', app: 'one' };

async function diff(from: string, to: string, most = 100): Promise<Difference> {
  const [a, b] = [await openSubject(from, {}, quiet()), await openSubject(to, {}, quiet())];
  assert.ok(a.ok && b.ok, JSON.stringify([a, b]));
  const compared = await compareSubjects(a.value, b.value, { most }, quiet());
  await a.value.close();
  await b.value.close();
  assert.ok(compared.ok, JSON.stringify(compared));
  return compared.value;
}

/** Two data images: of these layers each, the second one spoilt. */
async function diffImages(
  from: Layers,
  to: Layers,
  spoil: (draft: UnpackedDraft, dir: string) => void = () => undefined,
  most = 100,
): Promise<Difference> {
  const { dir, remove } = scratch();
  try {
    const old = await writeUnpacked(await draftUnpacked({ one: from }), dir, 'old');
    const draft = await draftUnpacked({ one: to });
    spoil(draft, dir);
    return await diff(old, await writeUnpacked(draft, dir, 'new'), most);
  } finally {
    remove();
  }
}

function paths({
  listed,
}: {
  readonly listed: readonly { kind: string; path: string }[];
}): string[] {
  return listed.map(({ kind, path }) => `${kind} ${path}`);
}

void describe('diff of data images', () => {
  void it('finds nothing where there is nothing', async () => {
    const difference = await diffImages([BASE, ONE], [BASE, ONE]);
    assert.ok(difference.isEqual, describeDifference(difference));
    assert.equal(difference.same, 1);
    assert.match(describeDifference(difference), /^equal$/m);
  });

  void it('prints exactly the one file that differs', async () => {
    const difference = await diffImages([BASE, ONE], [BASE, { ...ONE, app: 'two' }]);
    assert.ok(!difference.isEqual);
    const [moved] = difference.moved;
    assert.deepEqual(paths(moved?.files ?? { listed: [] }), ['changed app']);
    assert.deepEqual(moved?.files?.listed[0]?.changes, [
      { what: 'content', from: '3 bytes', to: 'others from byte 0 on' },
    ]);
    assert.deepEqual(moved.layers.same, 1);
    assert.equal(moved.layers.added.length, 1);
    const { records, unpacked, files, dataRoot, engineMade, fileSystem, tags } = difference;
    assert.deepEqual([records, unpacked, fileSystem, tags], [[], [], [], []]);
    for (const list of [files, dataRoot, engineMade]) assert.deepEqual(paths(list), []);
    const lines = describeDifference(difference).split('\n');
    assert.deepEqual(
      lines.filter((line) => /^\s*[~+-] (?!image|sha256)/.test(line)),
      ['    ~ app: content 3 bytes → others from byte 0 on'],
    );
  });

  void it('sees content, mode, owner, type, links, targets, devices and attributes', async () => {
    const changed: Files = {
      'usr/bin/tool': { content: 'tool', mode: 0o755, uid: 5, gid: 6 },
      'usr/link': { type: 'symlink', target: 'elsewhere' },
      'etc/passwd': { type: 'directory' },
      'etc/passwd/new': 'new',
      null: { type: 'character-device', device: { major: 1, minor: 3 } },
      'opt/': { type: 'directory', mode: 0o700, uid: 7 },
      '.wh.var': '',
    };
    const difference = await diffImages([BASE], [BASE, changed]);
    const found = Object.fromEntries(
      (difference.moved[0]?.files?.listed ?? []).map(({ kind, path, changes = [] }) => [
        path,
        [kind, ...changes.map(({ what, from, to }) => `${what} ${from} ${to}`)],
      ]),
    );
    assert.deepEqual(found, {
      'etc/passwd': ['changed', 'type file directory'],
      'etc/passwd/new': ['added'],
      null: ['added'],
      'usr/bin/tool': [
        'changed',
        'mode 4755 0755',
        'owner 0:0 5:6',
        'links 2 1',
        'xattr security.capability=0x0100000220000000000000000000000000000000 no security.capability',
      ],
      'usr/link': ['changed', 'target bin/tool elsewhere'],
      var: ['removed'],
      'var/gone': ['removed'],
    });
  });

  void it('compares what is unpacked of one layer, on both', async () => {
    const difference = await diffImages([BASE, ONE], [BASE, ONE], (draft) => {
      const base = draft.snapshotPath('one', 0);
      put(draft.entries, `${base}/fs/etc/passwd`, { content: 'root:x:1:0' });
      put(draft.entries, `${base}/fs/etc/shadow`, { content: 'x' });
      draft.entries.delete(`${base}/fs/opt/hidden`);
      draft.entries.delete(`${draft.snapshotPath('one', 1)}/fs/var/gone`);
    });
    assert.equal(difference.same, 1);
    assert.deepEqual(difference.moved, []);
    const [unpacked, top] = difference.unpacked;
    // A whiteout that is missing is a file that is missing.
    assert.deepEqual(paths(top?.files ?? { listed: [] }), ['removed var/gone']);
    assert.deepEqual(unpacked?.images, ['example.org/one:1']);
    assert.deepEqual(paths(unpacked.files), [
      'changed etc/passwd',
      'added etc/shadow',
      'removed opt/hidden',
    ]);
    assert.equal(unpacked.files.listed[0]?.changes?.[0]?.to, 'others from byte 7 on');
    assert.ok(!difference.isEqual);
  });

  void it('compares blobs byte by byte, records by their meaning, and not databases', async () => {
    const { dir, remove } = scratch();
    try {
      const layers = { one: [BASE, ONE], two: [BASE] };
      const old = await draftUnpacked(layers);
      // The same with other ids.
      const now = await draftUnpacked({ two: [BASE], one: [BASE, ONE] });
      const a = await writeUnpacked(old, dir, 'old');
      assert.ok((await diff(a, await writeUnpacked(now, dir, 'same'))).isEqual);
      const config = now.images['one']?.config.digest ?? '';
      bucket(now.moby, 'content', 'blob', config)['labels'] = {};
      const blob = now.blobPath(now.images['one']?.layers[0]?.digest ?? '');
      const [, bytes] = now.entries.get(blob) ?? [];
      assert.ok(bytes instanceof Uint8Array);
      const spoilt = Buffer.from(bytes);
      spoilt[50] = (spoilt[50] ?? 0) ^ 1;
      put(now.entries, blob, { content: spoilt, mode: 0o444 });
      const difference = await diff(a, await writeUnpacked(now, dir, 'other'));
      assert.deepEqual(difference.records.map(({ what, to }) => [what, to]).sort(), [
        ['blob', `other bytes: ${digestOf(spoilt)}`],
        ['content', 'others from byte 50 on'],
        ['label', undefined],
      ]);
    } finally {
      remove();
    }
  });

  void it('compares data roots of overlay2 by what they say, and their configs byte by byte', async () => {
    const [old, now] = [draftOverlay2(), draftOverlay2()];
    const config = now.pins.images['one']?.config.digest ?? '';
    const path = `${OVERLAY2.configs}/${config.slice('sha256:'.length)}`;
    now.disk.set(path, (now.disk.get(path) ?? '').replace('arm64', 'arm65'));
    now.disk.set(`${OVERLAY2.driver}/container-1/diff/`, '');
    const images = [writeOverlay2(old), writeOverlay2(old), writeOverlay2(now)] as const;
    try {
      const same = await diff(images[0].image, images[1].image);
      assert.ok(same.isEqual, describeDifference(same));
      assert.equal(same.same, 2);
      const difference = await diff(images[0].image, images[2].image);
      assert.deepEqual(
        difference.records.map(({ what, key, to }) => [what, key, to]),
        [
          ['blob', config, `other bytes: ${digestOf(now.disk.get(path) ?? '')}`],
          ['content', config, `others from byte ${'{"architecture":"arm6'.length} on`],
          ['snapshot', 'container-1', 'there'],
        ],
      );
    } finally {
      for (const { remove } of images) remove();
    }
  });

  void it('tells what engines make from what is there besides', async () => {
    const difference = await diffImages([BASE], [BASE], (draft) => {
      put(draft.entries, 'docker/engine-id', { content: 'id' });
      put(draft.entries, 'docker/buildkit/cache.db', { content: 'db' });
      put(draft.entries, 'docker/containers', { type: 'directory' });
    });
    assert.ok(difference.isEqual, describeDifference(difference));
    assert.equal(difference.engineMade.added, 4);
    assert.match(describeDifference(difference), /made by the engine itself.*: 4 added/);
    const other = await diffImages([BASE], [BASE], (draft) => {
      put(draft.entries, 'docker/containers/1234/config.v2.json', { content: '{}' });
      put(draft.entries, 'extra/file', { content: 'text' });
      put(draft.entries, `${PATHS.blobs}/${'0'.repeat(64)}`, { content: 'blob' });
    });
    assert.deepEqual(paths(other.dataRoot), [
      'added docker/containers/1234',
      'added docker/containers/1234/config.v2.json',
    ]);
    assert.deepEqual(paths(other.files), ['added extra', 'added extra/file']);
    assert.deepEqual(
      other.records.map(({ what, to }) => [what, to]),
      [['blob', '4 bytes']],
    );
  });

  void it('says that tags alone differ, what came and what went', async () => {
    const difference = await diffImages([BASE], [BASE], (draft) => {
      const images = draft.moby['images'] as Record<string, object>;
      images['example.org/one:latest'] = images['example.org/one:1'] ?? {};
    });
    assert.deepEqual(
      difference.tags.map(({ kind, name }) => [kind, name]),
      [['added', 'example.org/one:latest']],
    );
    assert.deepEqual([difference.moved, difference.added, difference.removed], [[], [], []]);
    assert.match(describeDifference(difference), /1 tag alone differs/);
    const { dir, remove } = scratch();
    try {
      const both = await writeUnpacked(await draftUnpacked({ one: [BASE], two: [ONE] }), dir, 'a');
      const three = await draftUnpacked({ one: [BASE], three: [ONE, BASE] });
      const changed = await diff(both, await writeUnpacked(three, dir, 'b'));
      assert.deepEqual(
        [changed.removed, changed.added].map((images) => images.map(({ names }) => names[0])),
        [['example.org/two:1'], ['example.org/three:1']],
      );
    } finally {
      remove();
    }
  });

  void it('never hides that something differs behind a limit', async () => {
    const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${i}`, 'x']));
    const difference = await diffImages([BASE], [BASE, many], undefined, 5);
    const files = difference.moved[0]?.files;
    assert.equal(files?.added, 30);
    assert.equal(files.listed.length, 5);
    assert.match(describeDifference(difference), /files: 30 added[^]*and 25 more, which --all/);
    assert.ok(!(await diffImages([BASE], [BASE, many], undefined, 0)).isEqual);
  });

  void it('counts what differs in nothing but its time', async () => {
    const later = { ...ONE, app: { content: 'one', mtime: 1_800_000_000 } };
    const difference = await diffImages([BASE, ONE], [BASE, later]);
    const files = difference.moved[0]?.files;
    assert.deepEqual([files?.changed, files?.times, files?.listed], [0, 1, []]);
    assert.ok(!difference.isEqual);
    const all = await diffImages([BASE, ONE], [BASE, later], undefined, Infinity);
    assert.equal(all.moved[0]?.files?.listed[0]?.path, 'app');
  });
});

const DPKG = `Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.1

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36

Package: old
Status: deinstall ok config-files
Version: 1
`;
const APK = 'C:Q1\nP:musl\nV:1.2.4-r1\n\nC:Q2\nP:busybox\nV:1.36-r0\n';

void describe('diff of archives and pins', () => {
  void it('compares config fields, layers, files and packages', async () => {
    const { dir, remove } = scratch();
    try {
      const write = async (name: string, env: string[], files: Files): Promise<string> => {
        const image = await makeImage({
          platform: 'linux/amd64',
          layers: [BASE, files],
          config: { Env: env, Cmd: ['/app'] },
        });
        await writeLayout(`${dir}/${name}`, image, 'example.org/app:1');
        execFileSync('tar', ['-C', `${dir}/${name}`, '-cf', `${dir}/${name}.tar`, '.']);
        return `${dir}/${name}`;
      };
      const old = await write('old', ['A=1', 'B=2'], {
        'var/lib/dpkg/status': DPKG,
        'lib/apk/db/installed': APK,
        'var/lib/rpm/rpmdb.sqlite': 'rpm',
      });
      const now = await write('new', ['A=1', 'B=3', 'C=4'], {
        'var/lib/dpkg/status': DPKG.replace('3.0.1', '3.0.2'),
        'var/lib/dpkg/status.d/base': 'Package: base\nVersion: 12\n',
        'lib/apk/db/installed': APK.replace('busybox', 'dropbear'),
        'var/lib/rpm/rpmdb.sqlite': 'other',
      });
      const difference = await diff(`${old}.tar`, now);
      const [moved] = difference.moved;
      assert.deepEqual(moved?.config, [
        { path: 'config.Env.B', from: '2', to: '3' },
        { path: 'config.Env.C', to: '4' },
      ]);
      assert.deepEqual(
        moved.packages.map(({ database, name, from, to }) => [database, name, from, to]),
        [
          ['apk', 'busybox', '1.36-r0', undefined],
          ['apk', 'dropbear', undefined, '1.36-r0'],
          ['dpkg', 'base', undefined, '12'],
          ['dpkg', 'openssl', '3.0.1', '3.0.2'],
          ['rpm (var/lib/rpm/rpmdb.sqlite)', undefined, undefined, undefined],
        ],
      );
      assert.equal(moved.layers.same, 1);
      assert.equal(moved.files?.changed, 3);
      assert.ok((await diff(`${now}.tar`, now)).isEqual);
    } finally {
      remove();
    }
  });

  void it('compares an archive with a data image, and packed layers with unpacked ones', async () => {
    const { dir, remove } = scratch();
    try {
      const draft = await draftUnpacked({ one: [BASE, ONE] });
      const data = await writeUnpacked(draft, dir, 'data');
      const image = await makeImage({ platform: 'linux/amd64', layers: [BASE, ONE, { new: 'n' }] });
      await writeLayout(`${dir}/layout`, image, 'example.org/one:1');
      const difference = await diff(data, `${dir}/layout`);
      assert.deepEqual(paths(difference.moved[0]?.files ?? { listed: [] }), ['added new']);
      assert.equal(difference.moved[0]?.layers.same, 2);
      assert.match(
        describeDifference(difference),
        /^ {2}layers by diff ID: 2 the same, 1 added, 0 removed\n {4}\+ sha256:\w{12} \S+ k?B \(blob sha256:\w{12}\)$/m,
      );
    } finally {
      remove();
    }
  });

  void it('pairs the versions of one repository, and says what pins do not tell', async () => {
    const { dir, remove } = scratch();
    try {
      const old = await draftUnpacked({ one: [BASE] });
      const now = await draftUnpacked({ one: [BASE, ONE] });
      const pin = now.pins.images['one'];
      assert.ok(pin !== undefined);
      now.pins.images['one'] = { ...pin, names: ['example.org/one:2'] };
      now.pins.files['extra'] = { ...FILE };
      const difference = await diff(writePins(old, dir, 'old'), writePins(now, dir, 'new'));
      assert.deepEqual(difference.moved[0]?.names, ['example.org/one:1', 'example.org/one:2']);
      assert.equal(difference.moved[0].files, undefined);
      assert.deepEqual(paths(difference.files), ['added extra']);
      assert.match(describeDifference(difference), /pins have digests alone/);
      // A data image is what its pins say.
      const data = await writeUnpacked(old, dir, 'data');
      const same = await diff(writePins(old, dir, 'old'), data);
      assert.ok(same.isEqual, describeDifference(same));
    } finally {
      remove();
    }
  });
});

const FILE = {
  sha256: `sha256:${'1'.repeat(64)}` as never,
  size: 5,
  mode: '0644',
};

void describe('diff that is ended', () => {
  void it('stops when it is told to, whatever it reads', async () => {
    const { dir, remove } = scratch();
    try {
      const old = await writeUnpacked(await draftUnpacked({ one: [BASE] }), dir, 'old');
      const now = await writeUnpacked(await draftUnpacked({ one: [BASE, ONE] }), dir, 'new');
      const image = await makeImage({ platform: 'linux/amd64', layers: [BASE] });
      await writeLayout(`${dir}/layout`, image, 'example.org/one:1');
      for (const [from, to] of [
        [old, now],
        [`${dir}/layout`, now],
      ] as const) {
        const controller = new AbortController();
        const context = { report: () => undefined, signal: controller.signal };
        const [a, b] = [await openSubject(from, {}, context), await openSubject(to, {}, context)];
        assert.ok(a.ok && b.ok);
        controller.abort('SIGINT');
        const ended = await compareSubjects(a.value, b.value, { most: 1 }, context);
        assert.ok(!ended.ok);
        assert.deepEqual(ended.failure, { reason: 'interrupted', signal: 'SIGINT' });
        await a.value.close();
        await b.value.close();
      }
    } finally {
      remove();
    }
  });
});
