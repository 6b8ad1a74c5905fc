import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cliPage } from '../../../scripts/cli-page.ts';

test('docs/cli.md is what `npm run docs` makes', () => {
  const file = join(import.meta.dirname, '..', '..', '..', 'docs', 'cli.md');
  assert.equal(readFileSync(file, 'utf8'), cliPage());
});
