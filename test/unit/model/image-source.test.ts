import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSource, storageBrackets } from '../../../src/model/image-source.ts';
import type { LocalSource } from '../../../src/model/image-source.ts';

type Parts = Omit<LocalSource, 'text' | 'transport'>;

const LOCAL: readonly (readonly [string, Parts])[] = [
  ['oci:images/web', { path: 'images/web' }],
  ['oci:/abs/web:web:1', { path: '/abs/web', name: 'web:1' }],
  ['oci-archive:web.tar:any.name_at/all', { path: 'web.tar', name: 'any.name_at/all' }],
  ['docker-archive:web.tar', { path: 'web.tar' }],
  ['docker-archive:web.tar:r.io/web:1', { path: 'web.tar', name: 'r.io/web:1' }],
  ['docker-archive:web.tar:@1', { path: 'web.tar', name: '@1' }],
  ['docker-daemon:web:1', { name: 'web:1' }],
  [`docker-daemon:sha256:${'0'.repeat(64)}`, { name: `sha256:${'0'.repeat(64)}` }],
  ['dir:../web', { path: '../web' }],
  ['containers-storage:web:1', { name: 'web:1' }],
  [`containers-storage:@${'a'.repeat(64)}`, { name: `@${'a'.repeat(64)}` }],
  ['containers-storage:[/srv/s]web', { name: 'web', path: '/srv/s' }],
  [
    'containers-storage:[overlay@/srv/s+/run/s]web',
    { name: 'web', path: '/srv/s', driver: 'overlay', runRoot: '/run/s' },
  ],
];
for (const [text, parts] of LOCAL)
  test(`reads ${text}`, () => {
    const transport = text.slice(0, text.indexOf(':')) as LocalSource['transport'];
    const local: LocalSource = { transport, text, ...parts };
    assert.deepEqual(parseSource(text), { ok: true, value: { kind: 'local', local } });
  });

test('a storage beside the name is the same as one in brackets', () => {
  const storage = { root: 's', driver: 'vfs', runRoot: 'r' };
  const one = parseSource('containers-storage:web', storage);
  assert.deepEqual(one, parseSource('containers-storage:[vfs@s+r]web'));
  assert.equal(storageBrackets({ root: '/s' }), '[/s]');
});

test("a registry's image has no path", () => {
  assert.deepEqual(parseSource('docker://web'), {
    ok: true,
    value: {
      kind: 'registry',
      reference: { registry: 'docker.io', repository: 'library/web', tag: 'latest' },
    },
  });
});

const REFUSED: readonly (readonly [string, string])[] = [
  ['oci:', '"oci:" names no file or directory'],
  ['dir:', '"dir:" names no file or directory'],
  ['oci::web', '"oci::web" names no file or directory'],
  ['oci:a b', '"oci:a b" has white space in it'],
  ['docker-daemon:', '"docker-daemon:": the reference is empty'],
  ['containers-storage:', '"containers-storage:": the reference is empty'],
  [
    'containers-storage:[]web',
    '"containers-storage:[]web": between the brackets is no [DRIVER@ROOT+RUNROOT]',
  ],
  [
    'docker-archive:x.tar:Web',
    '"docker-archive:x.tar:Web": "Web" has upper-case letters; names of images are lower case',
  ],
  [
    'ostree:x',
    '"ostree:x": images from ostree: are not supported; there are docker://, containers-storage:, docker-archive:, docker-daemon:, oci-archive:, oci:, dir:',
  ],
  ['docker:web', '"docker:web" lacks the slashes; write docker://NAME'],
  ['https://x/y', '"https://x/y" is not a registry\'s image; write docker://NAME'],
];
for (const [text, detail] of REFUSED)
  test(`refuses ${text}`, () => {
    assert.deepEqual(parseSource(text), { ok: false, failure: { detail } });
  });

test('a storage may not be there twice, nor break out of its brackets', () => {
  const twice = parseSource('containers-storage:[s]web', { root: 't' });
  assert.ok(!twice.ok && twice.failure.detail.includes('there is storage too'));
  const out = parseSource('containers-storage:web', { root: '/s]x:[y' });
  assert.ok(!out.ok && out.failure.detail.includes("can't have [, ]"));
});

test('a password in a source is refused, and not repeated', () => {
  for (const source of ['docker://user:hunter2@ghcr.io/x:1', 'https://hunter2@ghcr.io/x:1']) {
    const parsed = parseSource(source);
    assert.ok(!parsed.ok);
    assert.match(parsed.failure.detail, /\*\*\*@ghcr\.io.* holds a user or a password/);
    assert.doesNotMatch(parsed.failure.detail, /hunter2/);
  }
  const digest = `sha256:${'a'.repeat(64)}`;
  assert.ok(parseSource(`docker://alpine@${digest}`).ok, 'an @ before a digest is none');
});
