import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  choosePlatform,
  formatPlatform,
  parsePlatform,
  platformOf,
  samePlatform,
} from '../../../src/model/platform.ts';

const SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  'linux/amd64': ['linux/amd64', 'amd64', 'x86_64', 'x86-64', 'linux/x86_64', 'amd64/v1', 'AMD64'],
  'linux/amd64/v3': ['linux/amd64/v3'],
  'linux/arm64': ['linux/arm64', 'linux/arm64/v8', 'arm64', 'aarch64', 'linux/aarch64', 'armv8'],
  'linux/arm64/v9': ['linux/arm64/v9'],
  'linux/arm/v7': [
    'linux/arm/v7',
    'arm',
    'linux/arm',
    'armv7',
    'armv7l',
    'armv7hf',
    'armhf',
    'armv7/v7',
  ],
  'linux/arm/v6': ['linux/arm/v6', 'armv6', 'armv6l', 'arm/6'],
  'linux/arm/v5': ['linux/arm/v5', 'armel', 'armv5', 'armv5te'],
  'linux/386': ['386', 'i386', 'i486', 'i586', 'i686', 'linux/i686', 'x86'],
  'linux/riscv64': ['riscv64', 'linux/riscv64'],
  'linux/ppc64le': ['ppc64le', 'powerpc64le', 'ppc64el'],
  'linux/s390x': ['s390x'],
  'linux/mips64le': ['mips64le', 'mips64el'],
  'linux/loong64': ['loong64', 'loongarch64'],
};

for (const [platform, spellings] of Object.entries(SPELLINGS)) {
  test(`${platform} has many names`, () => {
    for (const text of spellings) {
      const parsed = parsePlatform(text);
      assert.ok(parsed.ok, text);
      assert.equal(formatPlatform(parsed.value), platform, text);
    }
  });
}

test('refuses what no Linux device is', () => {
  const refused = [
    ...[
      '',
      'linux',
      'linux/',
      'arm64/',
      'windows/amd64',
      'darwin',
      'aarch64_be',
      'armeb',
      'sparc64',
    ],
    ...['arm/v9', 'amd64/v5', 'riscv64/v1', 'linux/arm/v7/x', 'armhf/v6', '__proto__', 'toString'],
  ];
  for (const text of refused) {
    assert.deepEqual(
      parsePlatform(text),
      { ok: false, failure: { reason: 'unknown-platform', given: text } },
      text,
    );
  }
});

test('reads what images state, and nothing from attestations', () => {
  assert.deepEqual(platformOf('linux', 'arm', ''), { os: 'linux', arch: 'arm', variant: 'v7' });
  assert.deepEqual(platformOf('linux', 'arm64', 'v8'), { os: 'linux', arch: 'arm64' });
  assert.equal(platformOf('unknown', 'unknown'), undefined);
  assert.equal(platformOf('windows', 'amd64'), undefined);
  assert.equal(platformOf('linux', undefined), undefined);
  assert.equal(platformOf('linux', 'x86_64'), undefined, 'images speak GOARCH');
});

const CHOICES: readonly (readonly [string, readonly string[], string | undefined])[] = [
  ['arm/v7', ['arm/v6', 'arm/v7'], 'arm/v7'],
  ['arm/v6', ['arm/v7', 'arm/v6'], 'arm/v6'],
  ['arm/v6', ['arm/v7', 'arm64'], undefined],
  ['arm/v7', ['arm/v5', 'arm/v6'], 'arm/v6'],
  ['arm/v7', ['amd64', 'arm'], 'arm'],
  ['arm64', ['arm/v7', 'amd64'], undefined],
  ['arm64', ['amd64', 'arm64/v8'], 'arm64/v8'],
  ['arm64', ['arm64/v9'], undefined],
  ['arm64/v9', ['arm64'], 'arm64'],
  ['arm64/v9', ['arm64', 'arm64/v8.2'], 'arm64/v8.2'],
  ['amd64/v3', ['amd64', 'amd64/v2', 'amd64/v4'], 'amd64/v2'],
  ['amd64', ['amd64/v2'], undefined],
  ['riscv64', ['riscv64', 'riscv64'], 'riscv64'],
  ['386', [], undefined],
];

for (const [wanted, offered, chosen] of CHOICES) {
  test(`of ${offered.join(', ') || 'nothing'} a ${wanted} takes ${chosen ?? 'none'}`, () => {
    const read = (text: string): NonNullable<ReturnType<typeof platformOf>> => {
      const parsed = parsePlatform(text);
      assert.ok(parsed.ok);
      return parsed.value;
    };
    const index = choosePlatform(read(wanted), [undefined, ...offered.map(read)]);
    assert.equal(index, chosen === undefined ? undefined : offered.indexOf(chosen) + 1);
  });
}

test('the same platform is told by arch and variant', () => {
  assert.ok(samePlatform({ os: 'linux', arch: 'arm64' }, { os: 'linux', arch: 'arm64' }));
  assert.ok(
    !samePlatform(
      { os: 'linux', arch: 'arm', variant: 'v7' },
      { os: 'linux', arch: 'arm', variant: 'v6' },
    ),
  );
});
