import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { choosePolicy, withMirror } from '../../../src/fetch/policy.ts';

const REJECT = [{ type: 'reject' }];
const SIGNED = { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' };
const REMAP = { type: 'remapIdentity', prefix: 'm.io/x/a/b', signedPrefix: 'ghcr.io/a/b' };

/** What a policy comes to ask of the mirror m.io/x/a/b for ghcr.io/a/b. */
function asked(policy: unknown): unknown {
  const changed = withMirror(policy, 'ghcr.io/a/b', 'm.io/x/a/b') as
    { transports: { docker: Record<string, unknown> } } | undefined;
  return changed?.transports.docker['m.io/x/a/b'];
}

test('a mirror is asked what the narrowest scope of the registry asks', () => {
  const docker = { 'ghcr.io': REJECT, 'ghcr.io/a': [SIGNED], 'ghcr.io/a/b/c': REJECT };
  assert.deepEqual(asked({ default: REJECT, transports: { docker } }), [
    { ...SIGNED, signedIdentity: REMAP },
  ]);
  assert.deepEqual(asked({ transports: { docker: { '*.io': REJECT } } }), undefined);
  const wild = { '*.ghcr.io': REJECT, '': [SIGNED] };
  assert.deepEqual(asked({ transports: { docker: wild } }), [{ ...SIGNED, signedIdentity: REMAP }]);
  assert.deepEqual(asked({ default: REJECT }), REJECT);
});

test('an identity that the policy names holds for a mirror too', () => {
  const exact = { ...SIGNED, signedIdentity: { type: 'exactRepository', dockerRepository: 'r/x' } };
  assert.deepEqual(asked({ default: [exact] }), [exact]);
  const repository = { ...SIGNED, signedIdentity: { type: 'matchRepository' } };
  assert.deepEqual(asked({ default: [repository] }), [{ ...SIGNED, signedIdentity: REMAP }]);
});

test('a policy that speaks of the mirror itself is left as it is', () => {
  for (const scope of ['m.io', 'm.io/x', 'm.io/x/a/b'])
    assert.equal(
      asked({ default: [SIGNED], transports: { docker: { [scope]: REJECT } } }),
      undefined,
    );
});

test('a policy that can not be understood is left to skopeo', () => {
  for (const policy of [undefined, 'no', [], {}, { default: 'yes' }])
    assert.equal(asked(policy), undefined);
});

test("ours is used only where nobody's is there, readable or not", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'stw-policy-'));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('theirs.json'), '{}');
  mkdirSync(at('unreadable.json'));
  const absent = at('absent.json');
  const choose = (
    given: string | undefined,
    ...theirs: string[]
  ): ReturnType<typeof choosePolicy> => choosePolicy(given, directory, theirs);
  assert.deepEqual(await choose(absent, at('theirs.json')), { path: absent, ours: false });
  for (const name of ['theirs.json', 'unreadable.json'])
    assert.deepEqual(await choose(undefined, absent, at(name)), { path: at(name), ours: false });
  assert.deepEqual(await choose(undefined, absent), { path: at('policy.json'), ours: true });
});
