import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readBundles } from '../../../src/model/bundle-document.ts';
import { formatPins, parsePins } from '../../../src/model/pins-document.ts';

/** The first fenced block of a language in a page of docs/. */
function example(page: string, language: string): string {
  const text = readFileSync(new URL(`../../../docs/${page}`, import.meta.url), 'utf8');
  const block = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(text)?.[1];
  assert.ok(block !== undefined, `${page} has no ${language} block`);
  return block;
}

test('the example in docs/bundle.md is a bundle', () => {
  const bundle = readBundles([{ path: 'docs/bundle.md', text: example('bundle.md', 'yaml') }]);
  assert.ok(bundle.ok, JSON.stringify(bundle));
});

test('the example in docs/pins.md is what stowage writes', () => {
  const text = example('pins.md', 'json');
  const pins = parsePins(text, 'docs/pins.md');
  assert.ok(pins.ok, JSON.stringify(pins));
  assert.equal(formatPins(pins.value), text);
});
