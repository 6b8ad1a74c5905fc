import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Bundle } from '../../../src/model/bundle.ts';
import { readBundles } from '../../../src/model/bundle-document.ts';
import { parsePlatform } from '../../../src/model/platform.ts';
import { formatReference } from '../../../src/model/reference.ts';
import { catalogAddress, evaluate } from '../../../src/plan/evaluate.ts';
import type { EvaluateOptions } from '../../../src/plan/evaluate.ts';
import type { Wanted } from '../../../src/plan/wanted.ts';
import { catalogOf, STABLE } from './catalog-sample.ts';

const path = new URL('../../../buildroot-external/bundles/home-assistant.yaml', import.meta.url);

function shipped(): Bundle {
  const bundle = readBundles([{ path: 'home-assistant.yaml', text: readFileSync(path, 'utf8') }]);
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

function wantedFor(options: EvaluateOptions): Wanted {
  const address = catalogAddress(shipped(), options);
  assert.ok(address.ok && address.value !== undefined);
  const wanted = evaluate(shipped(), options, catalogOf(STABLE, address.value));
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
