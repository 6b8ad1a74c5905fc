import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Owner } from '../../../src/store/owner.ts';
import { currentOwner, formatOwner, ownerState, parseOwner } from '../../../src/store/owner.ts';

const me = currentOwner();
const cases: [string, Partial<Owner>, ReturnType<typeof ownerState>][] = [
  ['this process', {}, 'alive'],
  ['this host under another name', { host: 'renamed' }, 'alive'],
  ['a process that has ended', { pid: 2 ** 22 - 1 }, 'dead'],
  ['a pid that was used again', { start: '1' }, 'dead'],
  ['another container of this host', { namespace: 'pid:[1]' }, 'elsewhere'],
  ['another host', { host: 'other', boot: 'b', machine: 'm' }, 'elsewhere'],
  ['another host of the same name', { boot: 'b', machine: 'm' }, 'elsewhere'],
  ['a host of the same name that says nothing of itself', { boot: 'b', machine: '' }, 'elsewhere'],
];

for (const [name, changes, expected] of cases)
  test(`${name} is ${expected}`, () => {
    assert.equal(ownerState({ ...me, ...changes }), expected);
  });

test('this host before it was started again is dead', (t) => {
  if (me.machine === '') {
    t.diagnostic('no /etc/machine-id here: nobody can tell');
    assert.equal(ownerState({ ...me, boot: 'b' }), 'elsewhere');
  } else assert.equal(ownerState({ ...me, boot: 'b' }), 'dead');
});

test('a record is read back, and nothing else is taken for one', () => {
  assert.deepEqual(parseOwner(formatOwner(me)), me);
  for (const text of ['', '{', 'null', '{}', '[]', formatOwner(me).replace('"pid":', '"pit":')])
    assert.equal(parseOwner(text), undefined, text);
});
