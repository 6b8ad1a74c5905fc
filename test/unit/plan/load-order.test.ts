import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { ImagePin } from '../../../src/model/pins.ts';
import { planLoads } from '../../../src/plan/load-order.ts';

/** `base:16` is a layer of that name and as many bytes. */
function image(name: string, layers: readonly string[]): ImagePin {
  return {
    reference: `docker.io/library/${name}:1@${digestOf(name)}`,
    manifest: { digest: digestOf(`manifest ${name}`), mediaType: 'x', size: 1 },
    config: { digest: digestOf(`config ${name}`), mediaType: 'x', size: 1 },
    layers: layers.map(layer),
    platform: 'linux/amd64',
    names: [`docker.io/library/${name}:1`],
  };
}

function layer(text: string): Descriptor {
  const [name = '', size] = text.split(':');
  return { digest: digestOf(name), mediaType: 'x', size: Number(size) };
}

function plan(images: Readonly<Record<string, readonly string[]>>) {
  const pins = Object.entries(images).map(([name, layers]) => [name, image(name, layers)] as const);
  return planLoads(Object.fromEntries(pins)).map((planned) => ({
    name: planned.name,
    brings: planned.image.layers.filter(({ digest }) => !planned.borrowed.has(digest)).length,
    after: planned.after.map(({ name }) => name),
  }));
}

test('images that share nothing go largest first and wait for nobody', () => {
  assert.deepEqual(plan({ small: ['s:1'], large: ['l:9'], middle: ['m:5'] }), [
    { name: 'large', brings: 1, after: [] },
    { name: 'middle', brings: 1, after: [] },
    { name: 'small', brings: 1, after: [] },
  ]);
});

test('the smallest image brings what all share', () => {
  assert.deepEqual(
    plan({
      large: ['base:16', 'l:9', 'l2:4'],
      small: ['base:16', 's:1'],
      middle: ['base:16', 'm:5'],
    }),
    [
      { name: 'small', brings: 2, after: [] },
      { name: 'large', brings: 2, after: ['small'] },
      { name: 'middle', brings: 1, after: ['small'] },
    ],
  );
});

test('an image waits for each that brings one of its layers, through several generations', () => {
  assert.deepEqual(
    plan({
      leaf: ['base:2', 'python:8', 'leaf:30'],
      python: ['base:2', 'python:8', 'app:1'],
      tool: ['base:2', 'tool:1'],
    }),
    [
      { name: 'tool', brings: 2, after: [] },
      { name: 'python', brings: 2, after: ['tool'] },
      { name: 'leaf', brings: 1, after: ['tool', 'python'] },
    ],
  );
});

test('two entries of one image are one load with the names of both', () => {
  const one = image('one', ['a:1']);
  const planned = planLoads({
    first: one,
    second: { ...one, names: ['ghcr.io/other/name:2', ...one.names] },
  });
  assert.deepEqual(
    planned.map(({ name, image: { names } }) => ({ name, names })),
    [
      {
        name: 'first, second',
        names: ['docker.io/library/one:1', 'ghcr.io/other/name:2'],
      },
    ],
  );
});

test('the order does not depend on the order of the bundle', () => {
  const images = { a: ['x:3', 'a:1'], b: ['x:3', 'b:1'], c: ['y:2', 'c:2'], d: ['y:2', 'd:2'] };
  const turned = Object.fromEntries(Object.entries(images).reverse());
  assert.deepEqual(plan(turned), plan(images));
});

test('a layer that an image has twice is brought once and waited for by nobody', () => {
  assert.deepEqual(plan({ twice: ['a:1', 'a:1'] }), [{ name: 'twice', brings: 2, after: [] }]);
});
