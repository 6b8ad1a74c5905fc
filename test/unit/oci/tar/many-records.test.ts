import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TarError } from '../../../../src/oci/tar/tar-error.ts';
import { END, member, pax } from './blocks.ts';
import { readAll } from './read-all.ts';

/** Headers with more records than any program writes, or with others: what is taken, and no more memory than for that. */

/** Five bytes each, of which none says anything. */
const many = (count: number): Buffer =>
  member({ type: 'x', content: 'a=\n'.padStart(5, '5 ').repeat(count) });
const attribute = (key: string, bytes: number): Buffer =>
  pax([[`SCHILY.xattr.user.${key}`, 'v'.repeat(bytes)]], 'g');

async function refused(archive: Buffer, detail: RegExp, offset: number): Promise<void> {
  await assert.rejects(readAll(archive), (error: unknown) => {
    assert.ok(error instanceof TarError, String(error));
    assert.match(error.detail, detail);
    assert.equal(error.offset, offset);
    return true;
  });
}

void test('as many records as an extended header has room for', async () => {
  const [entry] = await readAll(Buffer.concat([many(209_000), member({ name: 'one' }), END]));
  assert.equal(entry?.name, 'one');
});

void test('the headers in front of one member are bounded together', async () => {
  const header = many(100_000);
  const archive = Buffer.concat([header, header, header, member({}), END]);
  await refused(archive, /^its header in front has 1500000 bytes/, 2 * header.length);
  const apart = Buffer.concat([header, member({}), header, member({}), header, member({}), END]);
  assert.equal((await readAll(apart)).length, 3);
});

void test('what holds for all is bounded, but not what replaces it or means nothing', async () => {
  const within = Array.from({ length: 9 }, () => attribute('same', 60_000));
  const comment = pax([['comment', 'c'.repeat(100_000)]], 'g');
  const [entry] = await readAll(Buffer.concat([...within, comment, member({}), END]));
  assert.equal(entry?.xattrs['user.same']?.length, 60_000);
  const [first, second] = [attribute('first', 40_000), attribute('second', 40_000)];
  await refused(
    Buffer.concat([first, second, member({}), END]),
    /^its global headers have more than 65536 bytes$/,
    first.length,
  );
  const back = pax([['SCHILY.xattr.user.first', '']], 'g');
  const [other] = await readAll(Buffer.concat([first, back, second, member({}), END]));
  assert.deepEqual(Object.keys(other?.xattrs ?? {}), ['user.second']);
});

void test('keys that every object has mean nothing', async () => {
  const acl = 'user::rw-,user:1:r--,group::r--,mask::r--,other::r--';
  const keys = ['constructor', 'toString', '__proto__'];
  const header = pax(keys.map((key) => [key, acl]));
  const [entry] = await readAll(Buffer.concat([header, member({}), END]));
  assert.deepEqual([entry?.xattrs, entry?.unknown], [{}, []]);
});
