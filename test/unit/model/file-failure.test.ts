import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodeOf } from '../../../src/model/exit-code.ts';
import { fileFailure } from '../../../src/model/file-failure.ts';
import { describeFailure } from '../../../src/report/describe-failure.ts';

/** [the system's code, the exit code, what is said, what to do] */
const CODES: readonly (readonly [string, number, RegExp, RegExp | undefined])[] = [
  ['EIO', 6, /^\/s\/x: the file system failed while writing it: EIO: said$/, /`dmesg`/],
  ['EUCLEAN', 6, /^\/s\/x: the file system failed while/, /`dmesg`/],
  ['ESTALE', 6, /^\/s\/x: the file system failed while/, /^it is on a server that is away/],
  ['EMFILE', 6, /^\/s\/x: the file system failed while/, /`ulimit -n`/],
  ['EBUSY', 6, /^\/s\/x: the file system failed while/, /^end what uses it/],
  ['EISDIR', 6, /^\/s\/x: the file system failed while/, /^something else is there/],
  ['EACCES', 6, /^\/s\/x: no right to do this while writing it: EACCES: said$/, /owner and mode/],
  ['EROFS', 6, /^\/s\/x: no right to do this while writing it/, /^its file system is read-only: /],
  ['ENOENT', 6, /^\/s\/x is not there any more while writing it/, /^bring its directory back/],
  ['ENOSPC', 7, /^no space left in \/s\/x$/, /^make room there/],
  ['ENOTDIR', 2, /^the path "\/s\/x" can't be: .*while writing it \(ENOTDIR\)$/, undefined],
];

for (const [code, exit, said, advised] of CODES)
  test(`${code} is told as what it is`, () => {
    const error = Object.assign(new Error(`${code}: said`), { code });
    const failure = fileFailure(error, '/s/x', 'writing it');
    const { message, hint } = describeFailure(failure);
    assert.match(message, said);
    if (advised === undefined) assert.equal(hint, undefined);
    else assert.match(hint ?? '', advised);
    assert.equal(exitCodeOf(failure), exit);
  });

test('what is no error of the system is a bug', () => {
  assert.throws(() => fileFailure(new TypeError('bug'), '/s/x', 'writing it'), TypeError);
});
