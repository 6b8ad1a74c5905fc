import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBundles } from '../../../src/model/bundle-document.ts';
import { targetKey } from '../../../src/model/pins-document.ts';
import { parsePlatform } from '../../../src/model/platform.ts';
import { selectTarget } from '../../../src/plan/select-target.ts';
import { pinsOf, targetPins } from '../model/pins-sample.ts';

const bundle = readBundles([
  {
    path: 'b.yaml',
    text: 'stowage: 1\nvars: { channel: stable, v: "1" }\nimages: { x: { from: "docker://x" } }',
  },
]);
assert.ok(bundle.ok);
const known = bundle.value;

const MANY = [
  targetPins({ machine: 'green' }),
  targetPins({ machine: 'green', set: { channel: 'beta' } }),
  targetPins({ machine: 'yellow' }),
  targetPins({ platform: 'linux/amd64' }),
];

function choose(
  [platform, machine, set = {}]: readonly [
    (string | undefined)?,
    (string | undefined)?,
    Record<string, string>?,
  ],
  targets = MANY,
): string {
  const parsed = platform === undefined ? undefined : parsePlatform(platform);
  assert.ok(parsed?.ok !== false);
  const selected = selectTarget(
    pinsOf(...targets),
    'pins.json',
    { platform: parsed?.value, machine, set },
    known,
  );
  if (selected.ok) return targetKey(selected.value.target);
  const { failure } = selected;
  if (failure.reason === 'target-not-pinned') {
    return `${failure.wanted} is not among ${failure.pinned.join(', ')}`;
  }
  if (failure.reason === 'target-ambiguous') return `one of ${failure.pinned.join(', ')}`;
  assert.equal(failure.reason, 'invalid-option');
  return `${failure.option} ${failure.value}`;
}

const GREEN = 'linux/arm64 green';
const CASES: readonly (readonly [Parameters<typeof choose>[0], string])[] = [
  [['arm64', 'green'], GREEN],
  [['arm64', 'green', { channel: 'stable' }], GREEN],
  [['arm64', 'green', { channel: 'beta' }], `${GREEN} channel=beta`],
  [[undefined, undefined, { channel: 'beta' }], `${GREEN} channel=beta`],
  [[undefined, 'yellow'], 'one of linux/arm64 yellow, linux/amd64'],
  [['arm64', 'yellow'], 'linux/arm64 yellow'],
  [['amd64'], 'linux/amd64'],
  [['amd64', 'generic'], 'linux/amd64'],
  [['arm64'], `one of ${GREEN}, ${GREEN} channel=beta, linux/arm64 yellow`],
  [
    [undefined, undefined, { v: '1' }],
    `one of ${GREEN}, ${GREEN} channel=beta, linux/arm64 yellow, linux/amd64`,
  ],
  [
    ['riscv64'],
    `linux/riscv64 is not among ${GREEN}, ${GREEN} channel=beta, linux/arm64 yellow, linux/amd64`,
  ],
  [
    ['arm64', 'blue', { channel: 'dev' }],
    `linux/arm64 blue channel=dev is not among ${GREEN}, ${GREEN} channel=beta, linux/arm64 yellow, linux/amd64`,
  ],
  [[undefined, undefined, { chanel: 'beta' }], '--set chanel=beta'],
];
for (const [choice, selected] of CASES) {
  test(`${JSON.stringify(choice)} selects ${selected}`, () => {
    assert.equal(choose(choice), selected);
  });
}

test('one target needs no choice, none has none', () => {
  assert.equal(choose([], [targetPins({ set: { channel: 'beta' } })]), 'linux/arm64 channel=beta');
  assert.equal(choose([], []), 'any target is not among ');
});
