import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';

/** Who may import whom, by the table of docs/architecture.md; `cli` is imported by nobody, as nobody lists it. */
const MAY_IMPORT = readTable();

function readTable(): Readonly<Record<string, readonly string[]>> {
  const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'architecture.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `([\w-]+)` \| .* \| (.*) \|$/gm)];
  const folders = rows.map(([, folder = '']) => folder);
  return Object.fromEntries(
    rows.map(([, folder = '', imports = '']) => {
      if (imports === 'everything') return [folder, folders];
      return [folder, imports === 'nothing' ? [] : imports.split(', ')];
    }),
  );
}

/** Dependencies that one module, or a few folders, keep to themselves. */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
  execa: ['tools/run-command.ts'],
  'proper-lockfile': ['store/store-lock.ts'],
  'p-retry': ['fetch/retry.ts'],
  'node:child_process': [],
  yargs: ['cli/'],
  'fs-extra': ['store/', 'tools/', 'load/', 'cli/'],
  'tar-stream': ['oci/'],
  fflate: ['data-root/'],
  fzstd: ['oci/'],
  'xxhash-wasm': ['oci/'],
  yaml: ['model/'],
};

const MOST_LINES = 500;

interface Import {
  readonly file: string;
  readonly from: string;
}

const SOURCE = join(import.meta.dirname, '..', 'src');
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.split(sep).join('/'));
const imports = files.flatMap(importsOf);

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  return [
    ...text.matchAll(/^(?:import|export)\b[^'"]*?from\s+'([^']+)'|\bimport\('([^']+)'\)/gms),
  ].map((match) => ({ file, from: match[1] ?? match[2] ?? '' }));
}

function folderOf(file: string): string {
  return file.split('/')[0] ?? '';
}

test('the test sees the imports', () => {
  assert.ok(files.length > 20);
  assert.ok(imports.some(({ file, from }) => file === 'tools/run-command.ts' && from === 'execa'));
});

test('every folder of src has its line in the table', () => {
  const unknown = files.map(folderOf).filter((folder) => !(folder in MAY_IMPORT));
  assert.deepEqual([...new Set(unknown)], []);
});

test('folders import only what they may', () => {
  const wrong = imports
    .filter(({ from }) => from.startsWith('.'))
    .map(({ file, from }) => ({
      file,
      target: relative(SOURCE, join(SOURCE, dirname(file), from))
        .split(sep)
        .join('/'),
    }))
    .filter(({ file, target }) => {
      // The schemas at the root are the model's data.
      if (target.startsWith('../schema/')) return folderOf(file) !== 'model';
      const [own, other] = [folderOf(file), folderOf(target)];
      return own !== other && !(MAY_IMPORT[own] ?? []).includes(other);
    });
  assert.deepEqual(wrong, []);
});

test('dependencies stay where they belong', () => {
  const wrong = imports.filter(({ file, from }) => {
    const name = Object.keys(ONLY_IN).find(
      (known) => from === known || from.startsWith(`${known}/`),
    );
    return name !== undefined && !(ONLY_IN[name] ?? []).some((place) => file.startsWith(place));
  });
  assert.deepEqual(wrong, []);
});

test('only one module reads the environment, and the one that finds programs reads PATH', () => {
  const readers = files.filter((file) =>
    /\bprocess\.env\b/.test(readFileSync(join(SOURCE, file), 'utf8')),
  );
  assert.deepEqual(readers.sort(), ['cli/environment.ts', 'tools/run-command.ts']);
});

test('no source file has two subjects', () => {
  const long = files.filter(
    (file) => readFileSync(join(SOURCE, file), 'utf8').split('\n').length > MOST_LINES,
  );
  assert.deepEqual(long, []);
});
