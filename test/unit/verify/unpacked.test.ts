import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { describe, it } from 'node:test';
import { verifyDataImage } from '../../../src/verify/verify.ts';
import type { Files } from '../../rig/image.ts';
import { quiet, scratch } from '../inspect/samples.ts';
import type { UnpackedDraft } from '../inspect/unpacked-image.ts';
import { draftUnpacked, put, writeUnpacked } from '../inspect/unpacked-image.ts';
import { bucket } from './data-image.ts';

/** linux/capability.h, `vfs_cap_data`: revision 2, effective. */
const CAPABILITY = `\x01\0\0\x02\x20${'\0'.repeat(15)}`;
const TOOL = { mode: 0o4755, uid: 3, gid: 4, xattrs: { 'security.capability': CAPABILITY } };
const BASE: Files = {
  'etc/': { type: 'directory', mode: 0o750, gid: 9, mtime: 1_500_000_000 },
  'etc/passwd': 'root:x:0:0',
  'bin/tool': { content: 'tool', ...TOOL },
  'bin/also': { type: 'link', target: 'bin/tool', ...TOOL },
  link: { type: 'symlink', target: 'bin/tool' },
  'dev/null': { type: 'character-device', device: { major: 1, minor: 3 }, mode: 0o666 },
  pipe: { type: 'fifo' },
  gone: 'gone',
  'opt/old': 'old',
};
/** `etc` has no member of its own, and is as the base has it. */
const TOP: Files = {
  '.wh.gone': '',
  'opt/.wh..wh..opq': '',
  'etc/shadow': 'x',
  big: 'b'.repeat(9000),
};

async function draft(): Promise<UnpackedDraft> {
  const made = await draftUnpacked({ one: [BASE, TOP] });
  put(made.entries, `${made.snapshotPath('one', 1)}/fs/etc`, {
    type: 'directory',
    mode: 0o750,
    gid: 9,
  });
  return made;
}

type Options = Partial<Parameters<typeof verifyDataImage>[1]>;

/** What is found on an image that was spoilt before it was written, or after. */
async function judge(
  spoil: (draft: UnpackedDraft) => void,
  after: (image: string, draft: UnpackedDraft) => void = () => undefined,
  options: Options = {},
): Promise<{ readonly findings: readonly string[]; readonly news: readonly string[] }> {
  const { dir, remove } = scratch();
  try {
    const made = await draft();
    spoil(made);
    const image = await writeUnpacked(made, dir, 'data');
    after(image, made);
    const expected = { pins: made.pins, dataRoot: 'docker', contents: true, ...options };
    const verified = await verifyDataImage(image, expected, quiet());
    if (verified.ok) return { findings: [], news: verified.value.news };
    assert.ok(verified.failure.reason === 'not-verified', JSON.stringify(verified.failure));
    return { findings: verified.failure.findings, news: [] };
  } finally {
    remove();
  }
}

const nothing = (): void => undefined;

function debugfs(image: string, ...commands: string[]): string {
  return execFileSync('debugfs', ['-w', '-f', '-', image], {
    input: `${commands.join('\n')}\n`,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** Turns a bit of a file's first block over, where it lies. */
function flip(image: string, path: string, at: number): void {
  const block = Number(
    /^(\d+)/m.exec(debugfs(image, `blocks ${path}`).replace(/^debugfs:.*$/gm, ''))?.[1],
  );
  assert.ok(block > 0, path);
  const file = openSync(image, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, block * 4096 + at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(file, byte, 0, 1, block * 4096 + at);
  closeSync(file);
}

const fs = (made: UnpackedDraft, layer: number): string => `${made.snapshotPath('one', layer)}/fs`;
const layerOf = (made: UnpackedDraft, i: number): string =>
  made.images['one']?.layers[i]?.digest ?? '';

void describe('verify of unpacked files', () => {
  void it('finds a right image right, packed by gzip or plain', async () => {
    for (const gzip of [true, false]) {
      const { dir, remove } = scratch();
      try {
        const made = await draftUnpacked({ one: [BASE, TOP], two: [BASE] }, { gzip });
        put(made.entries, `${fs(made, 1)}/etc`, { type: 'directory', mode: 0o750, gid: 9 });
        const image = await writeUnpacked(made, dir, 'data');
        const expected = { pins: made.pins, dataRoot: 'docker', contents: true };
        const verified = await verifyDataImage(image, expected, quiet());
        assert.ok(verified.ok, JSON.stringify(verified));
        // The base once: 9 members, bin, dev, opt and its root; and the root, etc, opt, three files of the other.
        assert.equal(verified.value.unpackedFiles, 13 + 6);
      } finally {
        remove();
      }
    }
  });

  void it('expects what is made in a set-group-ID directory of a lower layer in its group', async () => {
    const base: Files = {
      'a/': { type: 'directory', mode: 0o2755, gid: 50 },
      'a/z/': { type: 'directory', mode: 0o700, gid: 7 },
    };
    const top: Files = { 'a/b/deep/c': 'c', 'a/z/y/c': 'c' };
    for (const group of [50, 0]) {
      const { dir, remove } = scratch();
      try {
        const made = await draftUnpacked({ one: [base, top] });
        const root = fs(made, 1);
        put(made.entries, `${root}/a`, { type: 'directory', mode: 0o2755, gid: 50 });
        put(made.entries, `${root}/a/b`, { type: 'directory', mode: 0o755, gid: group });
        put(made.entries, `${root}/a/z`, { type: 'directory', mode: 0o700, gid: 7 });
        const image = await writeUnpacked(made, dir, 'data');
        const expected = { pins: made.pins, dataRoot: 'docker', contents: true };
        const verified = await verifyDataImage(image, expected, quiet());
        if (group === 50) {
          assert.ok(verified.ok, JSON.stringify(verified));
          continue;
        }
        assert.ok(!verified.ok && verified.failure.reason === 'not-verified');
        assert.deepEqual(
          verified.failure.findings.map((finding) => finding.replace(/^.*: /, '')),
          ['a/b belongs to 0:0 instead of 0:50'],
        );
      } finally {
        remove();
      }
    }
  });

  const spoilt: readonly (readonly [
    name: string,
    spoil: (draft: UnpackedDraft) => void,
    expected: (draft: UnpackedDraft) => string,
  ])[] = [
    [
      'another owner of a directory',
      (d) => {
        put(d.entries, `${fs(d, 0)}/etc`, {
          type: 'directory',
          mode: 0o750,
          uid: 1,
          gid: 9,
          mtime: 1_500_000_000,
        });
      },
      () => 'etc belongs to 1:9 instead of 0:9',
    ],
    [
      'another mode of a directory that a layer has no member for',
      (d) => {
        put(d.entries, `${fs(d, 1)}/etc`, { type: 'directory', mode: 0o755, gid: 9 });
      },
      () => 'etc has mode 0755 instead of 0750',
    ],
    [
      'another time of a directory',
      (d) => {
        put(d.entries, `${fs(d, 0)}/etc`, { type: 'directory', mode: 0o750, gid: 9 });
      },
      () => 'etc is of 2023-11-14T22:13:20Z instead of 2017-07-14T02:40:00Z',
    ],
    [
      'a link to elsewhere',
      (d) => {
        put(d.entries, `${fs(d, 0)}/link`, { type: 'symlink', target: 'etc/passwd' });
      },
      () => 'link leads to etc/passwd instead of bin/tool',
    ],
    [
      'a link that is none',
      (d) => {
        put(d.entries, `${fs(d, 0)}/bin/also`, { content: 'tool', ...TOOL });
      },
      () => 'bin/also has 1 names instead of 2',
    ],
    [
      'another device',
      (d) => {
        put(d.entries, `${fs(d, 0)}/dev/null`, {
          ...{ type: 'character-device', mode: 0o666, device: { major: 1, minor: 5 } },
        });
      },
      () => 'dev/null is device 1:5 instead of 1:3',
    ],
    [
      'a capability that is missing',
      (d) => {
        put(d.entries, `${fs(d, 0)}/bin/tool`, { content: 'tool', ...TOOL, xattrs: {} });
      },
      () =>
        'bin/tool has no security.capability instead of security.capability=0x0100000220000000000000000000000000000000',
    ],
    [
      'a file of another type',
      (d) => {
        put(d.entries, `${fs(d, 0)}/pipe`, { content: '' });
      },
      () => 'pipe is a file instead of a fifo',
    ],
    [
      'a whiteout that is missing',
      (d) => d.entries.delete(`${fs(d, 1)}/gone`),
      () => 'gone is missing',
    ],
    [
      'a whiteout too many',
      (d) => {
        put(d.entries, `${fs(d, 1)}/pipe`, { type: 'character-device', mode: 0 });
      },
      () => 'pipe is unpacked, and not in the layer',
    ],
    [
      'a directory that hides nothing any more',
      (d) => {
        put(d.entries, `${fs(d, 1)}/opt`, { type: 'directory' });
      },
      () => 'opt has no trusted.overlay.opaque instead of trusted.overlay.opaque=0x79',
    ],
  ];
  for (const [name, spoil, expected] of spoilt)
    void it(`finds ${name}`, async () => {
      let text = '';
      const { findings } = await judge((made) => {
        spoil(made);
        text = expected(made);
      });
      assert.ok(
        findings.some(
          (finding) =>
            finding.startsWith('image one: layer sha256:') && finding.endsWith(`: ${text}`),
        ),
        findings.join('\n'),
      );
    });

  const changed: readonly (readonly [
    name: string,
    change: (image: string, draft: UnpackedDraft) => void,
    expected: (draft: UnpackedDraft) => RegExp,
  ])[] = [
    [
      'a flipped bit in a blob',
      (image, d) => {
        flip(image, `/${d.blobPath(layerOf(d, 0))}`, 40);
      },
      (d) => new RegExp(`^image one: layer ${layerOf(d, 0)} has other bytes: sha256:`),
    ],
    [
      'a flipped bit in a file of a snapshot',
      (image, d) => {
        flip(image, `/${fs(d, 1)}/big`, 4000);
      },
      (d) => new RegExp(`^image one: layer ${layerOf(d, 1)}: big has other bytes: sha256:`),
    ],
    [
      'a changed mode',
      (image, d) => debugfs(image, `sif /${fs(d, 0)}/etc/passwd mode 0100666`),
      (d) =>
        new RegExp(`^image one: layer ${layerOf(d, 0)}: etc/passwd has mode 0666 instead of 0644$`),
    ],
    [
      'a changed owner',
      (image, d) => debugfs(image, `sif /${fs(d, 0)}/etc/passwd uid 1000`),
      () => /: etc\/passwd belongs to 1000:0 instead of 0:0$/,
    ],
    [
      'a missing file',
      (image, d) => debugfs(image, `rm /${fs(d, 0)}/etc/passwd`),
      (d) => new RegExp(`^image one: layer ${layerOf(d, 0)}: etc/passwd is missing$`),
    ],
    [
      'an extra file',
      (image, d) => {
        writeFileSync(`${image}.extra`, 'extra');
        debugfs(image, `write ${image}.extra /${fs(d, 1)}/etc/extra`);
      },
      (d) =>
        new RegExp(
          `^image one: layer ${layerOf(d, 1)}: etc/extra is unpacked, and not in the layer$`,
        ),
    ],
    [
      'a snapshot record without its directory',
      (image, d) => debugfs(image, `unlink /${d.snapshotPath('one', 1)}`),
      () => /^image one: snapshot sha256:\w+ has no directory /,
    ],
    [
      'a wrong extra file',
      (image) => {
        writeFileSync(`${image}.extra`, 'extra');
        debugfs(image, `write ${image}.extra /extra`);
      },
      () => /^extra is neither pinned nor part of the data root$/,
    ],
  ];
  for (const [name, change, expected] of changed)
    void it(`finds ${name}`, async () => {
      let pattern = /./;
      const { findings } = await judge(nothing, (image, made) => {
        change(image, made);
        pattern = expected(made);
      });
      assert.ok(
        findings.some((finding) => pattern.test(finding)),
        findings.join('\n'),
      );
    });

  void it('finds a wrong parent and an image record with another digest', async () => {
    const { findings } = await judge((made) => {
      const snapshots = bucket(made.moby, 'snapshots', 'overlayfs');
      const top = Object.values(snapshots).at(-1) as Record<string, string>;
      top['parent'] = `sha256:${'0'.repeat(64)}`;
      const target = bucket(made.moby, 'images', 'example.org/one:1', 'target');
      target['digest'] = made.images['one']?.config.digest ?? '';
    });
    assert.ok(findings.some((finding) => / has the parent sha256:0000/.test(finding)));
    assert.ok(
      findings.some((finding) => /^image one: example.org\/one:1 is sha256:/.test(finding)),
    );
  });

  void it('counts what it does not list', async () => {
    const { findings } = await judge((made) => {
      for (let i = 0; i < 30; i++)
        put(made.entries, `${fs(made, 0)}/etc/extra${i}`, { content: '' });
    });
    assert.equal(findings.length, 21);
    assert.match(findings.at(-1) ?? '', /: 10 more of the kind$/);
  });

  void it('compares no files where it is to be quick', async () => {
    const spoil = (made: UnpackedDraft): void => {
      put(made.entries, `${fs(made, 0)}/etc/extra`, { content: '' });
    };
    assert.deepEqual((await judge(spoil, nothing, { contents: false })).findings, []);
  });

  void it('lists what is there besides as new where an engine has run on it', async () => {
    const spoil = (made: UnpackedDraft): void => {
      put(made.entries, 'docker/engine-id', { content: 'id' });
      put(made.entries, 'docker/containers/1/config.v2.json', { content: '{}' });
      put(made.entries, 'written/by/device', { content: 'text' });
      const target = bucket(made.moby, 'images')['example.org/one:1'] ?? {};
      bucket(made.moby, 'images')['example.org/one:mine'] = target;
    };
    const { findings, news } = await judge(spoil, nothing, { used: true });
    assert.deepEqual(findings, []);
    assert.deepEqual([...news].map((one) => one.replace(/sha256:\w+/, '…')).sort(), [
      "docker/containers is the engine's",
      "docker/engine-id is the engine's",
      'image example.org/one:mine is not pinned (it is …)',
      'written is neither pinned nor part of the data root',
    ]);
    assert.equal((await judge(spoil)).findings.length, 4);
    const lost = (made: UnpackedDraft): void => {
      spoil(made);
      made.entries.delete(`${fs(made, 0)}/etc/passwd`);
    };
    assert.equal((await judge(lost, nothing, { used: true })).findings.length, 1);
  });

  void it('looks at a partition of a disk image', async () => {
    const { dir, remove } = scratch();
    try {
      const made = await draft();
      const image = await writeUnpacked(made, dir, 'data');
      const disk = `${dir}/disk`;
      writeFileSync(disk, '');
      truncateSync(disk, 16 * 1024 * 1024);
      execFileSync('sfdisk', ['-q', disk], {
        input: 'label: gpt\nstart=4096, size=16384, name=data\n',
      });
      execFileSync('dd', [
        `if=${image}`,
        `of=${disk}`,
        'bs=1M',
        'seek=2',
        'conv=notrunc',
        'status=none',
      ]);
      const expected = { pins: made.pins, dataRoot: 'docker', contents: true };
      for (const place of [{ partition: 'data' }, { offset: 2 * 1024 * 1024 }]) {
        const verified = await verifyDataImage(disk, { ...expected, place }, quiet());
        assert.ok(verified.ok, JSON.stringify(verified));
      }
      const missing = { ...expected, place: { partition: 'other' } };
      const refused = await verifyDataImage(disk, missing, quiet());
      assert.ok(!refused.ok && refused.failure.reason === 'partition-missing');
    } finally {
      remove();
    }
  });
});
