import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LayerApplier } from '../../../../src/oci/layer/apply-layer.ts';
import { LayerError } from '../../../../src/oci/layer/layer-entry.ts';
import { readTar } from '../../../../src/oci/tar/reader.ts';
import { chunked, END, member, pax } from '../tar/blocks.ts';

/** How many entries come of the members, as a layer that is foreseen: nobody looks at them in between. */
async function entriesOf(...members: readonly Buffer[]): Promise<number> {
  const time = { seconds: 0, nanoseconds: 0 };
  const applier = new LayerApplier({ isBase: true, time, foresees: true });
  const chunks = chunked(Buffer.concat([...members, END]), 65_536);
  let entries = 0;
  for await (const entry of readTar(chunks, { dialect: 'go' }))
    entries += applier.take(entry).length;
  return entries;
}

const named = (path: string): Buffer =>
  Buffer.concat([pax([['path', path]]), member({ name: 'x' })]);
const link = (name: string, target: string): Buffer =>
  Buffer.concat([pax([['linkpath', target]]), member({ name, type: '2', link: 'x' })]);

const LONG = /^its name has \d+ bytes, and Linux takes 4095$/;
const deep = (bytes: number): string => 'd/'.repeat(bytes / 2) + 'f';

void test('names that no system takes are refused before anything comes of them', async () => {
  const refused = (detail: RegExp) => (error: unknown) =>
    error instanceof LayerError && detail.test(error.detail);
  assert.equal(await entriesOf(named(deep(4094))), 2048);
  // What leads nowhere does not count.
  assert.equal(await entriesOf(named(`${'./'.repeat(5000)}f`)), 1);
  await assert.rejects(entriesOf(named(deep(4096))), refused(LONG));
  await assert.rejects(entriesOf(named(deep(900_000))), refused(LONG));
  await assert.rejects(entriesOf(link('l', 'd/'.repeat(2048))), refused(LONG));
  // Neither is too long, and where they lead to is.
  const half = `${'d/'.repeat(1500)}e`;
  await assert.rejects(entriesOf(link('l', half), named(`l/${half}/f`)), refused(LONG));
});

const NAMES: readonly (readonly [string, string, string])[] = [
  ["a terminal's escape", '\x1b[2J\n', '"\\u001b[2J\\n"'],
  ['one of eight bits', '\x9b2J', '"\\u009b2J"'],
  ['UTF-8', '\xc3\xa9', '"é"'],
  ['other bytes', '\xe9', '"é"'],
];

for (const [what, name, shown] of NAMES)
  void test(`a message shows ${what} in names so that it does nothing`, async () => {
    const detailOf = async (...members: readonly Buffer[]): Promise<string> => {
      const error: unknown = await entriesOf(...members).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof LayerError);
      return error.detail;
    };
    const below = await detailOf(member({ name }), member({ name: `${name}/below` }));
    assert.equal(below, `${shown} is no directory`);
    const linked = await detailOf(member({ name: 'h', type: '1', link: name }));
    assert.equal(linked, `it is a hard link to ${shown}, which this layer does not have`);
  });
