import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Licenses } from '../../../src/sbom/licenses.ts';

/** What is said, and what is declared for it. */
const CASES: readonly (readonly [string | undefined, string | RegExp])[] = [
  [undefined, 'NOASSERTION'],
  ['', 'NOASSERTION'],
  [' \n', 'NOASSERTION'],
  ['NOASSERTION', 'NOASSERTION'],
  ['NONE', 'NONE'],
  ['MIT', 'MIT'],
  [' MIT\n', 'MIT'],
  ['GPL-2.0-only AND MIT', 'GPL-2.0-only AND MIT'],
  ['MIT or Apache-2.0', 'MIT OR Apache-2.0'],
  ['MIT AND (ISC OR Zlib)', 'MIT AND (ISC OR Zlib)'],
  ['MIT AND ISC OR Zlib', '(MIT AND ISC) OR Zlib'],
  ['(MIT AND ISC) AND Zlib', 'MIT AND ISC AND Zlib'],
  ['GPL-2.0+', 'GPL-2.0+'],
  ['GPL-2.0-or-later WITH Classpath-exception-2.0', /^GPL-2\.0-or-later WITH Classpath/],
  ['LicenseRef-Fedora-Public-Domain AND MIT', 'LicenseRef-Fedora-Public-Domain AND MIT'],
  ['custom', 'LicenseRef-custom'],
  ['GPLv2+ and MIT', /^LicenseRef-GPLv2-and-MIT-[0-9a-f]{8}$/],
  ['GPLv2 and MIT', /^LicenseRef-GPLv2-and-MIT-[0-9a-f]{8}$/],
  ['DocumentRef-x:LicenseRef-y', /^LicenseRef-DocumentRef-x-LicenseRef-y-[0-9a-f]{8}$/],
  ['MIT AND', /^LicenseRef-MIT-AND-[0-9a-f]{8}$/],
  ['©', /^LicenseRef-[0-9a-f]{8}$/],
  ['x'.repeat(500), /^LicenseRef-x{40}-[0-9a-f]{8}$/],
  ['MIT AND '.repeat(500), /^LicenseRef-MIT-AND-MIT-AND-[A-Z-]+-[0-9a-f]{8}$/],
  ['x'.repeat(5000), /^LicenseRef-x{40}-[0-9a-f]{8}$/],
];

void describe('Licenses', () => {
  for (const [said, expected] of CASES)
    void it(`${JSON.stringify(said?.slice(0, 60))} is ${String(expected)}`, () => {
      const declared = new Licenses().declare(said);
      if (typeof expected === 'string') assert.equal(declared, expected);
      else assert.match(declared, expected);
    });

  void it('keeps what differs apart, and what is the same together', () => {
    const licenses = new Licenses();
    const all = CASES.map(([said]) => licenses.declare(said));
    assert.deepEqual(
      CASES.map(([said]) => licenses.declare(said)),
      all,
    );
    const extracted = licenses.extracted();
    const ids = extracted.map(({ licenseId }) => licenseId);
    assert.deepEqual([...new Set(ids)].sort(), ids);
    assert.equal(ids.length, 10);
    assert.ok(extracted.some(({ extractedText }) => extractedText.endsWith(': GPLv2+ and MIT')));
  });
});
