import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LAYER } from './build-tree.ts';

/** What has to agree in files that different people change; no bitbake is needed for it. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NATIVE = join(LAYER, 'recipes-devtools/stowage');

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly dev?: boolean; readonly license?: string }>
  >;
}

const read = (...path: string[]): string => readFileSync(join(...path), 'utf8');

void test('the recipe of the program has its version and the licences of all that is in it', () => {
  const { version } = JSON.parse(read(ROOT, 'package.json')) as { version: string };
  assert.deepEqual(readdirSync(NATIVE), [`stowage-native_${version}.bb`]);
  const lock = JSON.parse(read(ROOT, 'package-lock.json')) as Lock;
  const used = Object.values(lock.packages)
    .filter(({ dev }) => dev !== true)
    .map(({ license }) => license ?? 'none stated');
  const recipe = read(NATIVE, `stowage-native_${version}.bb`);
  const [, stated = ''] = /^LICENSE = "(.*)"$/mu.exec(recipe) ?? [];
  assert.deepEqual([...new Set(used)].sort(), stated.split(' ${AND} '));
});

void test('docs/yocto.md has every documented variable, and no other', () => {
  const files = readdirSync(LAYER, { recursive: true, encoding: 'utf8' });
  const documented = files
    .filter((name) => /\.(?:bbclass|bb)$/u.test(name))
    .flatMap((name) => [...read(LAYER, name).matchAll(/^(STOWAGE_\w+)\[doc\]/gmu)])
    .map(([, name = '']) => name);
  assert.ok(documented.length > 20);
  const tabled = [...read(ROOT, 'docs/yocto.md').matchAll(/^\| `(STOWAGE_\w+)`/gmu)];
  assert.deepEqual(tabled.map(([, name = '']) => name).sort(), documented.sort());
});

void test('every variable that a user may set has a documentation', () => {
  const text = read(LAYER, 'classes-recipe/stowage-data.bbclass');
  const set = [...text.matchAll(/^(STOWAGE_\w+) \?{1,2}= /gmu)].map(([, name = '']) => name);
  assert.ok(set.length > 20);
  assert.deepEqual(
    set.filter((name) => !text.includes(`${name}[doc] = "`)),
    [],
  );
  assert.ok(existsSync(join(LAYER, 'LICENSE')));
});
