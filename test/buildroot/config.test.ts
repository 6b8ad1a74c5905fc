import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parsePlatform } from '../../src/model/platform.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { BUILDROOT_FILES, configure, kconfig, ROOT, STAND_IN } from './external-tree.ts';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const CONFIG_FILES = BUILDROOT_FILES.filter((file) => /Config\.in/u.test(file));
const DATA = 'BR2_PACKAGE_STOWAGE_DATA';

function configured(t: TestContext, ...lines: string[]): Promise<Map<string, string>> {
  return configure(temporaryTree(t), ROOT, lines);
}

/** [what the board's .config says, the platform that the package then has, if it can be chosen] */
const PLATFORMS: readonly (readonly [readonly string[], string | undefined])[] = [
  [['BR2_x86_64=y'], 'linux/amd64'],
  [['BR2_i386=y'], 'linux/386'],
  [['BR2_aarch64=y'], 'linux/arm64'],
  [['BR2_aarch64=y', 'BR2_neoverse_n2=y'], 'linux/arm64'],
  [['BR2_arm=y', 'BR2_arm920t=y'], undefined],
  [['BR2_arm=y', 'BR2_arm926t=y'], 'linux/arm/v5'],
  [['BR2_arm=y', 'BR2_arm926t=y', 'BR2_ARM_FPU_VFPV2=y'], 'linux/arm/v5'],
  [['BR2_arm=y', 'BR2_arm1176jzf_s=y'], 'linux/arm/v6'],
  [['BR2_arm=y', 'BR2_arm1176jzf_s=y', 'BR2_ARM_SOFT_FLOAT=y'], 'linux/arm/v5'],
  [['BR2_arm=y', 'BR2_cortex_a7=y'], 'linux/arm/v7'],
  [['BR2_arm=y', 'BR2_cortex_a7=y', 'BR2_ARM_FPU_VFPV2=y'], 'linux/arm/v6'],
  [['BR2_arm=y', 'BR2_cortex_a7=y', 'BR2_ARM_SOFT_FLOAT=y'], 'linux/arm/v5'],
  [['BR2_arm=y', 'BR2_cortex_m7=y'], undefined],
  // A 64-bit core with 32-bit programs: images for it are those for v7.
  [['BR2_arm=y', 'BR2_cortex_a53=y'], 'linux/arm/v7'],
  [['BR2_riscv=y'], 'linux/riscv64'],
  [['BR2_riscv=y', 'BR2_RISCV_32=y'], undefined],
  [['BR2_riscv=y', '# BR2_RISCV_ISA_RVD is not set'], undefined],
  [['BR2_powerpc64le=y'], 'linux/ppc64le'],
  [['BR2_s390x=y'], 'linux/s390x'],
  [['BR2_loongarch64=y'], 'linux/loong64'],
  [['BR2_mips64el=y'], 'linux/mips64le'],
  [['BR2_mips64el=y', 'BR2_mips_64r6=y'], undefined],
  [['BR2_mips64el=y', 'BR2_MIPS_SOFT_FLOAT=y'], undefined],
  [['BR2_m68k=y'], undefined],
];

for (const [board, platform] of PLATFORMS)
  test(`the platform of ${board.join(' ')} is ${platform ?? 'none: the package is not offered'}`, async (t) => {
    const config = await configured(t, ...board, `${DATA}=y`);
    assert.equal(config.get(DATA), platform === undefined ? undefined : 'y');
    assert.equal(config.get(`${DATA}_PLATFORM`), platform);
    if (platform === undefined) return;
    assert.ok(parsePlatform(platform).ok, 'and the command line takes it');
  });

test('the defaults: the shipped bundle, the store in the download directory, the rest left open', async (t) => {
  const config = await configured(t, 'BR2_x86_64=y', `${DATA}=y`);
  const ours = [...config].filter(([name]) => name.includes('STOWAGE'));
  assert.deepEqual(Object.fromEntries(ours), {
    BR2_PACKAGE_HOST_STOWAGE: 'y',
    [`${DATA}_ARCH_SUPPORTS`]: 'y',
    [DATA]: 'y',
    [`${DATA}_BUNDLES`]:
      '$(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/bundles/home-assistant.yaml',
    [`${DATA}_ARCH_PLATFORM`]: 'linux/amd64',
    [`${DATA}_PLATFORM`]: 'linux/amd64',
    [`${DATA}_STORE`]: '$(BR2_DL_DIR)/stowage-store',
    [`${DATA}_JOBS`]: '0',
    [`${DATA}_ENGINE_DOCKER`]: 'y',
    [`${DATA}_ENGINE_STORE_BUNDLE`]: 'y',
    [`${DATA}_CONTAINERD_BUNDLE`]: 'y',
    [`${DATA}_UNPACK_BUNDLE`]: 'y',
    [`${DATA}_LOADER_DIND`]: 'y',
    [`${DATA}_DIND_ENGINE_ANY`]: 'y',
    [`${DATA}_MACHINE`]: '',
    [`${DATA}_CHANNEL`]: '',
    [`${DATA}_SET`]: '',
    [`${DATA}_PINS`]: '',
    [`${DATA}_MIRRORS`]: '',
    [`${DATA}_AUTHFILE`]: '',
    [`${DATA}_CERT_DIR`]: '',
    [`${DATA}_INSECURE`]: '',
    [`${DATA}_POLICY`]: '',
    [`${DATA}_REGISTRIES_DIR`]: '',
    [`${DATA}_ENGINE_VERSION`]: '',
    [`${DATA}_DIND_IMAGE`]: '',
    [`${DATA}_SIZE`]: '',
    [`${DATA}_HEADROOM`]: '',
    [`${DATA}_FEATURES`]: '',
    [`${DATA}_UUID`]: '',
    [`${DATA}_DATA_ROOT`]: '',
    [`${DATA}_LABEL`]: '',
  });
  const bundle = 'buildroot-external/bundles/home-assistant.yaml';
  assert.match(read(bundle), /^stowage: 1$/mu, 'the default bundle is one');
});

/** What Kconfig would drop without a word, although it decides about a release: make refuses it instead. */
for (const lines of [
  ['FROZEN=y', 'PINS=""'],
  ['ENGINE_STORE_OVERLAY2=y', 'UNPACK_DEVICE=y'],
  ['ENGINE_STORE_OVERLAY2=y', 'CONTAINERD_OWN=y'],
])
  test(`${lines.join(' with ')} stays as it was written`, async (t) => {
    const ours = lines.map((line) => `${DATA}_${line}`);
    const config = await configured(t, 'BR2_x86_64=y', `${DATA}=y`, ...ours);
    for (const line of ours.filter((text) => text.endsWith('=y')))
      assert.equal(config.get(line.slice(0, -2)), 'y', line);
  });

/** [what is chosen, what can't be beside it] */
const EXCLUDED: readonly (readonly [readonly string[], string])[] = [
  [['LOADER_DIRECT=y'], 'DIND_IMAGE="docker://registry.example/docker:28-dind"'],
  [['LOADER_DIRECT=y'], 'DIND_ENGINE_PODMAN=y'],
  [['LOADER_DIRECT=y'], 'DIND_PRIVILEGED=y'],
  [['SIZE="2G"'], 'HEADROOM="10%"'],
];

for (const [chosen, other] of EXCLUDED)
  test(`with ${chosen.join(' ')} there is no ${other}`, async (t) => {
    const board = ['BR2_x86_64=y', `${DATA}=y`];
    const line = `${DATA}_${other}`;
    const [name = '', value = ''] = line.replaceAll('"', '').split(/=(.*)/u);
    const alone = await configured(t, ...board, line);
    assert.equal(alone.get(name), value, 'it can be chosen otherwise');
    const beside = await configured(t, ...board, ...chosen.map((c) => `${DATA}_${c}`), line);
    assert.equal(beside.get(name), undefined);
  });

test("Buildroot's skopeo can be chosen where Go runs, and is then selected", async (t) => {
  const wish = ['BR2_x86_64=y', `${DATA}=y`, 'BR2_PACKAGE_HOST_STOWAGE_SKOPEO=y'];
  const no = await configured(t, ...wish);
  assert.equal(no.get('BR2_PACKAGE_HOST_STOWAGE_SKOPEO'), undefined);
  const go = 'BR2_PACKAGE_HOST_GO_HOST';
  const yes = await configured(t, ...wish, `${go}_ARCH_SUPPORTS=y`, `${go}_CGO_LINKING_SUPPORTS=y`);
  assert.equal(yes.get('BR2_PACKAGE_HOST_STOWAGE_SKOPEO'), 'y');
  assert.equal(yes.get('BR2_PACKAGE_HOST_SKOPEO'), 'y');
});

test("Buildroot's Node.js can be chosen where Buildroot has one, and is then selected", async (t) => {
  const wish = ['BR2_x86_64=y', `${DATA}=y`, 'BR2_PACKAGE_HOST_STOWAGE_NODEJS=y'];
  const no = await configured(t, ...wish);
  assert.equal(no.get('BR2_PACKAGE_HOST_STOWAGE_NODEJS'), undefined);
  const yes = await configured(t, ...wish, 'BR2_PACKAGE_HOST_NODEJS_BIN_ARCH_SUPPORTS=y');
  assert.equal(yes.get('BR2_PACKAGE_HOST_STOWAGE_NODEJS'), 'y');
  assert.equal(yes.get('BR2_PACKAGE_HOST_NODEJS'), 'y');
});

for (const file of BUILDROOT_FILES.filter((name) => name.startsWith('configs/')))
  test(`${file} loads, and saves unchanged`, async (t) => {
    const dir = temporaryTree(t);
    const config = await configure(dir, ROOT, read(file).trimEnd().split('\n'));
    assert.equal(config.get(DATA), 'y');
    assert.notEqual(config.get(`${DATA}_MACHINE`), '');
    await kconfig(dir, ROOT, [`--savedefconfig=${join(dir, 'saved')}`]);
    const saved = readFileSync(join(dir, 'saved'), 'utf8');
    // The order is Buildroot's, of which the stand-in knows nothing.
    assert.deepEqual(saved.trimEnd().split('\n').sort(), read(file).trimEnd().split('\n').sort());
  });

test('every symbol that the Config.in files name is defined, in them or in Buildroot', () => {
  const texts = [...CONFIG_FILES.map(read), readFileSync(join(STAND_IN, 'Config.in'), 'utf8')];
  const defined = new Set(texts.flatMap((text) => all(text, /^config (\w+)$/gmu)));
  const named = CONFIG_FILES.flatMap((file) =>
    all(withoutHelp(read(file)).replaceAll(/"[^"]*"/gu, ''), /\b(BR2_\w+)/gu),
  );
  assert.deepEqual(
    [...new Set(named)].filter((name) => !defined.has(name)),
    [],
  );
});

test('the make files read symbols that exist, and every symbol has an effect', () => {
  const texts = [...CONFIG_FILES.map(read), readFileSync(join(STAND_IN, 'Config.in'), 'utf8')];
  const defined = new Set(texts.flatMap((text) => all(text, /^config (\w+)$/gmu)));
  const makefiles = BUILDROOT_FILES.filter((file) => file.endsWith('.mk')).map(read);
  const used = makefiles.flatMap((text) => all(text, /\$\((BR2_\w+)\)/gu));
  assert.deepEqual(
    used.filter((name) => !defined.has(name)),
    [],
  );
  const offered = CONFIG_FILES.flatMap((file) => all(read(file), /^config (\w+)$/gmu));
  const effective = [...makefiles, ...CONFIG_FILES.map(read).map(conditions)].join('\n');
  assert.deepEqual(
    offered.filter((name) => !new RegExp(`\\b${name}\\b`, 'u').test(effective)),
    [],
  );
});

test('every symbol and choice has a help text', () => {
  for (const file of CONFIG_FILES) {
    const entries = read(file)
      .split(/^(?=config |choice$)/mu)
      .filter((entry) => /^c/u.test(entry));
    for (const entry of entries) assert.match(entry, /^\thelp\n\t {2}\S/mu, `${file}: ${entry}`);
  }
});

test('the package has the version of package.json', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const makefile = read('buildroot-external/package/stowage/stowage.mk');
  assert.deepEqual(all(makefile, /^HOST_STOWAGE_VERSION = (.*)$/gmu), [version]);
});

function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

function withoutHelp(text: string): string {
  return text.replaceAll(/^\thelp\n(?:(?:\t {2}.*)?\n)+/gmu, '');
}

function conditions(text: string): string {
  return all(
    text,
    /^(?:if|\tdepends on|\tselect|\tdefault \S+ if|\tdefault(?= BR2_)) (.*)$/gmu,
  ).join('\n');
}
