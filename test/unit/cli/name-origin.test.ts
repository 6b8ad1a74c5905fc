import assert from 'node:assert/strict';
import { test } from 'node:test';
import { environment, nameVariable } from '../../../src/cli/environment.ts';
import { nameOrigin } from '../../../src/cli/name-origin.ts';
import { readBundles } from '../../../src/model/bundle-document.ts';
import type { Failure } from '../../../src/model/failure.ts';
import { describeFailure } from '../../../src/report/describe-failure.ts';

const BUNDLE = `stowage: 1
partition:
  size: 2M
  features: "6.1"
engine: { store: overlay2, containerd: own }
images: { x: { from: "docker://x:1" } }
`;
const read = readBundles([{ path: 'product.yaml', text: BUNDLE }]);
assert.ok(read.ok);
const bundle = read.value;

const MIB = 1024 * 1024;
const TOO_SMALL: Failure = {
  ...{ reason: 'no-space', where: 'the data image' },
  ...{ needed: 5 * MIB, available: 2 * MIB, fits: 5 * MIB },
};
const FEATURES: Failure = {
  ...{ reason: 'invalid-option', option: 'partition.features', value: '6.1' },
  expected: 'others',
};
const UNABLE: Failure = {
  ...{ reason: 'engine-unable', version: '20.10.24' },
  problems: [
    { what: 'engine.containerd', detail: 'it has none', remedy: 'daemon' },
    { what: 'engine.unpack', detail: 'it must', remedy: 'true' },
    { what: 'image x', detail: 'it is large', remedy: 'another' },
  ],
};

/** [what failed, the options, what is said, what is to be done] */
const CASES: readonly (readonly [Failure, Record<string, unknown>, string, string])[] = [
  [
    TOO_SMALL,
    {},
    'no space left in the data image (partition.size in product.yaml:3): 5M are needed, 2M there are',
    'write a larger partition.size in product.yaml:3 (5M should do), or auto',
  ],
  [
    TOO_SMALL,
    { size: '2M' },
    'no space left in the data image: 5M are needed, 2M there are',
    'give a larger --size (5M should do), or --size auto',
  ],
  [
    { reason: 'no-space', where: '/disk' },
    {},
    'no space left in /disk',
    'make room there and run again; what was downloaded is kept',
  ],
  [
    FEATURES,
    {},
    'product.yaml:4:3: partition.features: "6.1" can\'t be: expected others',
    'docs/bundle.md describes bundles',
  ],
  [FEATURES, { features: '6.1' }, '--features "6.1" can\'t be: expected others', ''],
  [
    UNABLE,
    { unpack: false },
    "Docker 20.10.24, the device's engine, can't do what is asked of it:\n  engine.containerd (product.yaml:5): it has none\n  --unpack: it must\n  image x: it is large",
    'what would do: daemon; true; another',
  ],
];

for (const [failure, args, message, hint] of CASES)
  test(`${failure.reason} with ${JSON.stringify(args)} names where the value is from`, () => {
    const said = describeFailure(nameOrigin(failure, bundle, args));
    assert.deepEqual([said.message, said.hint ?? ''], [message, hint]);
  });

test('a value from the environment is told by its variable', (t) => {
  environment['STOWAGE_RETRY_DELAYS'] = 'soon';
  t.after(() => delete environment['STOWAGE_RETRY_DELAYS']);
  const failure: Failure = {
    ...{ reason: 'invalid-option', option: '--retry-delays', value: 'soon' },
    expected: 'seconds',
  };
  const said = (argv: readonly string[]): string =>
    describeFailure(nameVariable(failure, argv)).message;
  assert.equal(said(['fetch']), 'STOWAGE_RETRY_DELAYS "soon" can\'t be: expected seconds');
  for (const argv of [['--retry-delays', 'soon'], ['--retry-delays=soon']])
    assert.equal(said(argv), '--retry-delays "soon" can\'t be: expected seconds');
  const other = nameVariable({ ...failure, option: '--stall' }, []);
  assert.match(describeFailure(other).message, /^--stall /);
  environment['STOWAGE_PLATFORM'] = 'foo';
  t.after(() => delete environment['STOWAGE_PLATFORM']);
  assert.equal(
    describeFailure(nameVariable({ reason: 'unknown-platform', given: 'foo' }, [])).message,
    'STOWAGE_PLATFORM "foo" is no platform',
  );
});
