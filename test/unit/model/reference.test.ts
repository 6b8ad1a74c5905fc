import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../../../src/model/digest.ts';
import {
  formatReference,
  nameOf,
  parseReference,
  taggedName,
  withDigest,
} from '../../../src/model/reference.ts';

const HEX = 'a'.repeat(64);

const READ: readonly (readonly [string, string])[] = [
  ['alpine', 'docker.io/library/alpine:latest'],
  ['alpine:3.20', 'docker.io/library/alpine:3.20'],
  ['index.docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['home-assistant/cli', 'docker.io/home-assistant/cli:latest'],
  ['localhost/x:1', 'localhost/x:1'],
  ['localhost:5000/x/y', 'localhost:5000/x/y:latest'],
  ['127.0.0.1:5000/x:1', '127.0.0.1:5000/x:1'],
  ['[::1]:5000/x:1', '[::1]:5000/x:1'],
  ['ghcr.io/a/b/c-d__e.f:V1.0_x-2', 'ghcr.io/a/b/c-d__e.f:V1.0_x-2'],
  [`x@sha256:${HEX}`, `docker.io/library/x@sha256:${HEX}`],
  [`x:1@sha256:${HEX}`, `docker.io/library/x:1@sha256:${HEX}`],
  [`x:${'t'.repeat(128)}`, `docker.io/library/x:${'t'.repeat(128)}`],
];

for (const [text, full] of READ) {
  test(`reads ${text.slice(0, 60)}`, () => {
    const reference = parseReference(text);
    assert.ok(reference.ok);
    assert.equal(formatReference(reference.value), full);
  });
}

const REFUSED: readonly (readonly [string, string])[] = [
  ['', 'the reference is empty'],
  ['a b', '"a b" contains white space'],
  ['x:my tag', '"x:my tag" contains white space'],
  ['docker://x', '"docker://x" begins with a transport or scheme; a reference is a name alone'],
  ['ghcr.io/Foo/bar', '"Foo" has upper-case letters; names of images are lower case'],
  ['Foo/bar', '"Foo" has upper-case letters; names of images are lower case'],
  ['ghcr.io//x', '"ghcr.io//x" has an empty name between slashes'],
  ['ghcr.io/', '"ghcr.io/" has an empty name between slashes'],
  [
    'x:',
    "\"\" is not a tag: at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
  ],
  [
    'x:.y',
    "\".y\" is not a tag: at most 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'",
  ],
  ['x@sha256:abc', '"sha256:abc" is not a digest: sha256: and 64 lower-case hexadecimal digits'],
  [
    `x@sha512:${HEX}`,
    `"sha512:${HEX}" is not a digest: sha256: and 64 lower-case hexadecimal digits`,
  ],
  [HEX, `"${HEX}" is an image ID or a bare digest, not a name`],
  [
    'a..b',
    "\"a..b\" is not a name: lower-case letters and digits, with '.', '_', '__' or '-' between them",
  ],
  ['-host.io/x', '"-host.io" is not a registry\'s host name'],
];

for (const [text, detail] of REFUSED) {
  test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.deepEqual(parseReference(text), { ok: false, failure: { detail } });
  });
}

test('refuses a tag of 129 characters and a repository of 256', () => {
  assert.equal(parseReference(`x:${'t'.repeat(129)}`).ok, false);
  assert.equal(parseReference(`ghcr.io/${'n'.repeat(255)}`).ok, true);
  assert.equal(parseReference(`ghcr.io/${'n'.repeat(256)}`).ok, false);
});

test('tells name, tagged name and digest apart', () => {
  const reference = parseReference('x');
  assert.ok(reference.ok);
  assert.equal(nameOf(reference.value), 'docker.io/library/x');
  assert.equal(taggedName(reference.value), 'docker.io/library/x:latest');
  const digest = digestOf('manifest');
  assert.equal(
    formatReference(withDigest(reference.value, digest)),
    `docker.io/library/x:latest@${digest}`,
  );
  const byDigest = parseReference(`x@sha256:${HEX}`);
  assert.ok(byDigest.ok);
  assert.equal(taggedName(byDigest.value), undefined);
});

test('what is formatted is read back as the same', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}$/);
  const registry = fc.constantFrom('docker.io', 'localhost', 'ghcr.io', '10.0.0.1:5000', '[::1]:1');
  const tag = fc.option(fc.stringMatching(/^[A-Za-z0-9_][\w.-]{0,20}$/), { nil: undefined });
  const digest = fc.option(fc.string().map(digestOf), { nil: undefined });
  fc.assert(
    fc.property(
      registry,
      fc.array(component, { minLength: 2, maxLength: 4 }),
      tag,
      digest,
      (host, path, tagged, digested) => {
        const reference = {
          registry: host,
          repository: path.join('/'),
          ...(tagged === undefined
            ? digested === undefined
              ? { tag: 'latest' }
              : {}
            : { tag: tagged }),
          ...(digested === undefined ? {} : { digest: digested }),
        };
        assert.deepEqual(parseReference(formatReference(reference)), {
          ok: true,
          value: reference,
        });
      },
    ),
  );
});

test('any text is read or refused, never thrown at, and what is read is stable', () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom('a', 'b', '1', 'A', '.', ':', '/', '@', '_', '-', '[', ' ', 's'),
      }),
      (text) => {
        const reference = parseReference(text);
        if (!reference.ok) return;
        const again = parseReference(formatReference(reference.value));
        assert.deepEqual(again, reference);
      },
    ),
  );
});
