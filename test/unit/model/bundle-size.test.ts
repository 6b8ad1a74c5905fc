import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatSize,
  parseBytes,
  headroomRemark,
  parseHeadroom,
  parseSize,
} from '../../../src/model/bundle-size.ts';

test('sizes are in units of 1024', () => {
  assert.equal(parseBytes('1280M'), 1280 * 1024 ** 2);
  assert.equal(parseBytes('2G'), 2 * 1024 ** 3);
  assert.equal(parseBytes('1.5GiB'), 1.5 * 1024 ** 3);
  assert.equal(parseBytes('512K'), 512 * 1024);
  assert.equal(parseBytes(4096), 4096);
  for (const wrong of ['', 'M', '1MB', '-1', '1 G', '1e3', '9999999T', '1,5G', '0x10']) {
    assert.equal(parseBytes(wrong), undefined, wrong);
  }
});

test('a size is auto or no less than 1M', () => {
  assert.equal(parseSize('auto'), 'auto');
  assert.deepEqual(parseSize('1M'), { bytes: 1024 ** 2 });
  assert.equal(parseSize('1280'), undefined, 'somebody forgot the M');
});

test('headroom is a percentage or a size', () => {
  assert.deepEqual(parseHeadroom('10%'), { percent: 10 });
  assert.deepEqual(parseHeadroom('0'), { bytes: 0 });
  assert.deepEqual(parseHeadroom('200M'), { bytes: 200 * 1024 ** 2 });
  assert.equal(parseHeadroom('1001%'), undefined);
  assert.equal(parseHeadroom('-5%'), undefined);
  for (const text of ['10', 10, '1', '4095', '3.5K'])
    assert.equal(parseHeadroom(text), undefined, 'somebody forgot the %');
  assert.deepEqual(parseHeadroom('4096'), { bytes: 4096 });
  assert.equal(headroomRemark('10'), '; 10 is 10 bytes, and 10% a share');
  assert.equal(headroomRemark('x'), '');
});

test('a size is printed in a form that is read again, and never too small', () => {
  for (const [bytes, text] of [
    [1280 * 1024 ** 2, '1280M'],
    [1.5 * 1024 ** 2, '1.5M'],
    [1024 ** 2 + 1, '1.1M'],
  ] as const) {
    assert.equal(formatSize(bytes), text);
    assert.ok((parseBytes(text) ?? 0) >= bytes);
  }
});
