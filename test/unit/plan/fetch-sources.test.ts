import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseReference } from '../../../src/model/reference.ts';
import { sourcesOf } from '../../../src/plan/fetch-sources.ts';

for (const [text, mirrors, expected] of [
  ['ghcr.io/a/b:1', [], [{ names: ['ghcr.io/a/b'] }]],
  [
    'ghcr.io/a/b:1',
    ['127.0.0.1:5000', 'https://m.example/cache/'],
    [
      { mirror: '127.0.0.1:5000', names: ['127.0.0.1:5000/ghcr.io/a/b', '127.0.0.1:5000/a/b'] },
      {
        mirror: 'm.example/cache',
        names: ['m.example/cache/ghcr.io/a/b', 'm.example/cache/a/b'],
      },
      { names: ['ghcr.io/a/b'] },
    ],
  ],
  [
    'alpine',
    ['m.example'],
    [
      {
        mirror: 'm.example',
        names: ['m.example/docker.io/library/alpine', 'm.example/library/alpine'],
      },
      { names: ['docker.io/library/alpine'] },
    ],
  ],
  // A colon can't be part of a path.
  [
    'r.example:5000/a/b',
    ['m.example'],
    [{ mirror: 'm.example', names: ['m.example/a/b'] }, { names: ['r.example:5000/a/b'] }],
  ],
] as const)
  it(`asks for ${text} at ${mirrors.join(' and ') || 'its registry'}`, () => {
    const reference = parseReference(text);
    assert(reference.ok);
    assert.deepEqual(sourcesOf(reference.value, mirrors), expected);
  });

it('asks nobody but the mirrors where that is wanted', () => {
  const reference = parseReference('alpine');
  assert(reference.ok);
  assert.deepEqual(
    sourcesOf(reference.value, ['m.example'], true).map((source) => source.mirror),
    ['m.example'],
  );
});
