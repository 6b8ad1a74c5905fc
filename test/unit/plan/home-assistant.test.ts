import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Bundle } from '../../../src/model/bundle.ts';
import { readBundles } from '../../../src/model/bundle-document.ts';
import { recalledCatalog } from '../../../src/model/catalog-document.ts';
import { parsePlatform } from '../../../src/model/platform.ts';
import { formatReference } from '../../../src/model/reference.ts';
import { catalogAddress, evaluate } from '../../../src/plan/evaluate.ts';
import type { EvaluateOptions } from '../../../src/plan/evaluate.ts';
import type { Wanted } from '../../../src/plan/wanted.ts';
import { catalogOf, STABLE } from './catalog-sample.ts';

const BUNDLES = fileURLToPath(new URL('../../../buildroot-external/bundles', import.meta.url));

function shipped(name = 'home-assistant.yaml'): Bundle {
  const path = join(BUNDLES, name);
  const bundle = readBundles([{ path, text: readFileSync(path, 'utf8') }]);
  assert.ok(bundle.ok, JSON.stringify(bundle));
  return bundle.value;
}

function optionsFor(
  name: string,
  machine: string,
  set: Record<string, string> = {},
): EvaluateOptions {
  const platform = parsePlatform(name);
  assert.ok(platform.ok);
  return { platform: platform.value, machine, set };
}

function wantedFor(options: EvaluateOptions, bundle = shipped()): Wanted {
  const address = catalogAddress(bundle, options);
  assert.ok(address.ok);
  const catalog = address.value === undefined ? undefined : catalogOf(STABLE, address.value);
  const wanted = evaluate(bundle, options, catalog);
  assert.ok(wanted.ok, JSON.stringify(wanted));
  return wanted.value;
}

for (const [platform, arch, machine] of [
  ['linux/amd64', 'amd64', 'generic-x86-64'],
  ['aarch64', 'aarch64', 'raspberrypi4-64'],
] as const) {
  test(`the shipped bundle is Home Assistant OS's set for ${platform}`, () => {
    const wanted = wantedFor(optionsFor(platform, machine));
    const name = (what: string): string => `ghcr.io/home-assistant/${what}`;
    const names = Object.fromEntries(
      Object.entries(wanted.images).map(([image, { names: all }]) => [image, all]),
    );
    assert.deepEqual(names, {
      supervisor: [
        name(`${arch}-hassio-supervisor:2026.07.5`),
        name(`${arch}-hassio-supervisor:latest`),
      ],
      dns: [name(`${arch}-hassio-dns:2026.02.0`)],
      audio: [name(`${arch}-hassio-audio:2026.02.1`)],
      cli: [name(`${arch}-hassio-cli:2026.06.0`)],
      multicast: [name(`${arch}-hassio-multicast:2026.08.0`)],
      observer: [name(`${arch}-hassio-observer:2026.08.1`)],
      landingpage: [name(`${machine}-homeassistant:landingpage`)],
    });
    const text = (file: string): unknown => {
      const wantedFile = wanted.files[file];
      return wantedFile?.kind === 'content'
        ? new TextDecoder().decode(wantedFile.content)
        : wantedFile;
    };
    assert.deepEqual(text('supervisor/apparmor/hassio-supervisor'), {
      kind: 'url',
      mode: '0644',
      url: 'https://version.home-assistant.io/apparmor_stable.txt',
    });
    assert.equal(text('supervisor/updater.json'), '{"channel":"stable"}\n');
    assert.equal(text('.docker-use-containerd-snapshotter'), '');
    assert.equal(Object.keys(wanted.files).length, 3);
    assert.equal(wanted.partition.label, 'hassos-data');
    assert.equal(formatReference(wanted.dind), 'docker.io/library/docker:28.5.2-dind');
    assert.equal(wanted.catalog?.from, 'https://version.home-assistant.io/stable.json');
    assert.equal(Object.keys(wanted.catalog.values).length, 13);
    assert.equal(wanted.target.machine, machine);
  });
}

test('another channel and another place are a matter of --set', () => {
  const options = optionsFor('arm64', 'green', {
    channel: 'beta',
    versions: 'http://127.0.0.1:8080/v',
  });
  const wanted = wantedFor(options);
  assert.equal(wanted.catalog?.from, 'http://127.0.0.1:8080/v/beta.json');
  assert.deepEqual(wanted.target, {
    platform: 'linux/arm64',
    machine: 'green',
    set: { channel: 'beta', versions: 'http://127.0.0.1:8080/v' },
  });
});

test('without a machine the landing page has no name', () => {
  const options = { ...optionsFor('arm64', 'green'), machine: undefined };
  assert.deepEqual(evaluate(shipped(), options, catalogOf(STABLE, 'c.json')), {
    ok: false,
    failure: {
      reason: 'invalid-option',
      option: '--machine',
      value: '',
      expected: "a machine's name: images.landingpage.from asks for {machine}",
    },
  });
});

for (const [machine, version, key] of [
  ['raspberrypi4-64', '2026.8.2', 'raspberrypi4-64'],
  ['green', '2026.8.3', 'default'],
] as const) {
  test(`Core for ${machine} has the catalog's version for it, else that for all`, () => {
    const options = optionsFor('arm64', machine);
    const { landingpage, ...others } = wantedFor(options).images;
    assert.ok(landingpage);
    const wanted = wantedFor(options, shipped('home-assistant-core.yaml'));
    const { core, ...rest } = wanted.images;
    assert.deepEqual(core?.names, [`ghcr.io/home-assistant/${machine}-homeassistant:${version}`]);
    assert.deepEqual(Object.keys(rest), Object.keys(others), 'and nothing else differs');
    assert.deepEqual(wanted.files, wantedFor(options).files);
    assert.deepEqual(wanted.partition, wantedFor(options).partition);
    const values = wanted.catalog?.values ?? {};
    const asked = Object.keys(values).filter((path) => path.startsWith('homeassistant.'));
    assert.deepEqual(asked, [`homeassistant.${key}`], 'and the pins hold only that one');
    const { catalog } = wanted;
    assert.ok(catalog);
    const again = evaluate(
      shipped('home-assistant-core.yaml'),
      options,
      recalledCatalog(catalog.from, values),
    );
    assert.deepEqual(again, { ok: true, value: wanted }, 'from which the same follows');
  });
}

for (const name of readdirSync(BUNDLES).filter((file) => file.endsWith('.yaml')))
  test(`${name} is a bundle, for every platform of the boards`, () => {
    for (const platform of ['linux/amd64', 'linux/arm64']) {
      const wanted = wantedFor(optionsFor(platform, 'green'), shipped(name));
      assert.ok(Object.keys(wanted.images).length > 0);
    }
  });
