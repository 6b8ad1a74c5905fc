import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangeSummary } from '../../../src/model/build-plan.ts';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { FilePin, ImagePin, TargetPins } from '../../../src/model/pins.ts';
import type { EarlierBuild } from '../../../src/plan/changes.ts';
import { changesBetween, isNothing } from '../../../src/plan/changes.ts';
import type { BuildSettings } from '../../../src/plan/fingerprint.ts';
import { fingerprintOf } from '../../../src/plan/fingerprint.ts';

const MB = 1_000_000;

const settings: BuildSettings = {
  loader: 'dind',
  stowage: '1.0.0',
  dind: digestOf('dind'),
  engine: { name: 'docker', store: 'containerd', version: '28.5.2', unpack: true },
  partition: { label: 'data', size: 'auto', headroom: { percent: 10 }, dataRoot: 'docker' },
};

function blob(text: string, size = 1000): Descriptor {
  return { digest: digestOf(text), size, mediaType: 'application/octet-stream' };
}

/** `content` makes it another image; all share the base. */
function image(content: string, names: readonly string[], size = 10 * MB): ImagePin {
  return {
    reference: `${names[0] ?? ''}@${digestOf(content)}`,
    manifest: blob(`manifest ${content}`),
    config: blob(`config ${content}`),
    layers: [blob('base', 20 * MB), blob(`layer ${content}`, size)],
    platform: 'linux/amd64',
    names,
  };
}

function file(content: string, mode = '0644'): FilePin {
  return { sha256: digestOf(content), size: content.length, mode };
}

const NAMES = ['audio', 'cli', 'core', 'dns'];

function pins(changes: Partial<TargetPins> = {}): TargetPins {
  return {
    target: { platform: 'linux/amd64', set: {} },
    images: Object.fromEntries(NAMES.map((name) => [name, image(name, [`x.io/${name}:1`])])),
    files: { 'a/one': file('one'), two: file('two') },
    ...changes,
  };
}

function build(changes: Partial<TargetPins> = {}, own: Partial<BuildSettings> = {}): EarlierBuild {
  return { settings: { ...settings, ...own }, pins: pins(changes) };
}

function changes(after: EarlierBuild, before = build()) {
  const compared = changesBetween(before, after);
  assert('changes' in compared, JSON.stringify(compared));
  return compared.changes;
}

function nothingBut(summary: Partial<ChangeSummary>): ChangeSummary {
  const none = { changed: [], added: [], removed: [], renamed: [], files: [], label: false };
  return { images: 4, ...none, ...summary };
}

const { images } = pins();

test('the same is nothing to do, whatever people call it and wherever it came from', () => {
  const renamed = Object.fromEntries(
    Object.entries(images).map(([name, pin]) => [
      `my-${name}`,
      { ...pin, reference: `mirror.io/${pin.reference}` },
    ]),
  );
  const elsewhere = {
    images: renamed,
    files: Object.fromEntries(
      Object.entries(pins().files).map(([path, pin]) => [path, { ...pin, url: 'https://x.io/' }]),
    ),
    target: { platform: 'linux/amd64', machine: 'green', set: {} },
    catalog: { from: 'https://x.io/', values: { a: '1' } },
  };
  assert.ok(isNothing(changes(build(elsewhere))));
  assert.equal(fingerprintOf(settings, pins()), fingerprintOf(settings, pins(elsewhere)));
});

test('another content under the same name is loaded, and the old one removed', () => {
  const dns = image('dns two', ['x.io/dns:1']);
  const { images: done, files, summary } = changes(build({ images: { ...images, dns } }));
  assert.deepEqual(done, {
    load: { dns },
    remove: [{ digest: digestOf('manifest dns'), names: ['x.io/dns:1'] }],
    rename: [],
  });
  assert.deepEqual(files, { write: [], remove: [] });
  assert.deepEqual(summary, nothingBut({ changed: ['dns'] }));
});

test('images that come and go', () => {
  const { dns, ...others } = images;
  assert.ok(dns);
  const gone = changes(build({ images: others }));
  assert.deepEqual(gone.images.load, {});
  assert.deepEqual(gone.images.remove, [{ digest: dns.manifest.digest, names: dns.names }]);
  assert.deepEqual(gone.summary, nothingBut({ images: 3, removed: ['dns'] }));
  const back = changes(build(), build({ images: others }));
  assert.deepEqual(back.images, { load: { dns }, remove: [], rename: [] });
  assert.deepEqual(back.summary, nothingBut({ added: ['dns'] }));
});

test('tags alone are set anew, also where two entries are one image or two change places', () => {
  const { dns, cli } = images;
  assert.ok(dns && cli);
  const tagged = { ...dns, names: ['x.io/dns:1', 'x.io/dns:latest'] };
  const more = changes(build({ images: { ...images, dns: tagged } }));
  assert.deepEqual(more.images.load, {});
  assert.deepEqual(more.images.rename, [
    { digest: dns.manifest.digest, names: dns.names, newNames: tagged.names },
  ]);
  assert.deepEqual(more.summary, nothingBut({ renamed: ['dns'] }));
  // Two entries with a name each are the image with both names.
  const latest = { ...dns, names: ['x.io/dns:latest'] };
  const twice = changes(build({ images: { ...images, latest } }));
  assert.deepEqual(twice.images, more.images);
  const swapped = {
    ...images,
    dns: { ...dns, names: cli.names },
    cli: { ...cli, names: dns.names },
  };
  assert.deepEqual(
    changes(build({ images: swapped })).images.rename.map(({ names, newNames }) => [
      names,
      newNames,
    ]),
    [
      [['x.io/cli:1'], ['x.io/dns:1']],
      [['x.io/dns:1'], ['x.io/cli:1']],
    ],
  );
});

test('an index that is kept now is another image', () => {
  const { dns } = images;
  assert.ok(dns);
  const kept = { ...dns, index: digestOf('index'), keptIndex: blob('index') };
  const { images: done } = changes(build({ images: { ...images, dns: kept } }));
  assert.deepEqual(Object.keys(done.load), ['dns']);
  assert.equal(done.remove.length, 1);
});

test('files are written for their bytes and modes, and removed', () => {
  const files = { 'a/one': file('one', '0755'), three: file('three') };
  const { files: done, summary } = changes(build({ files }));
  assert.deepEqual(done, { write: ['a/one', 'three'], remove: ['two'] });
  assert.deepEqual(summary, nothingBut({ files: ['a/one', 'three', 'two'] }));
});

test('a file called like what every object has is a file like others', () => {
  const files = { ...pins().files, constructor: file('x') };
  assert.deepEqual(changes(build({ files })).files.write, ['constructor']);
});

test('a label is changed; every other setting means from scratch', () => {
  const partition = { ...settings.partition, label: 'other' };
  const labelled = changes(build({}, { partition }));
  assert.equal(labelled.label, 'other');
  assert.deepEqual(labelled.summary, nothingBut({ label: true }));
  const others: Partial<BuildSettings>[] = [
    { loader: 'direct' },
    { stowage: '1.0.1' },
    { dind: digestOf('other') },
    { engine: { ...settings.engine, version: '29.0.0' } },
    { engine: { ...settings.engine, unpack: false } },
    { partition: { ...settings.partition, dataRoot: 'engine' } },
    { partition: { ...settings.partition, size: { bytes: 5 * MB } } },
    { epoch: 1_700_000_000 },
  ];
  for (const own of others) {
    assert.deepEqual(changesBetween(build(), build({}, own)), {
      unusable: { what: 'settings', settings: Object.keys(own) },
    });
    assert.notEqual(
      fingerprintOf({ ...settings, ...own }, pins()),
      fingerprintOf(settings, pins()),
    );
  }
});

test('the order of keys is no change', () => {
  const { partition } = settings;
  const backwards = Object.fromEntries(Object.entries(partition).reverse()) as typeof partition;
  assert.ok(isNothing(changes(build({}, { partition: backwards }))));
  assert.equal(
    fingerprintOf({ ...settings, partition: backwards }, pins()),
    fingerprintOf(settings, pins()),
  );
});

test('most of the bytes mean from scratch', () => {
  const large = image('large', ['x.io/large:1'], 61 * MB);
  assert.deepEqual(changesBetween(build(), build({ images: { ...images, large } })), {
    unusable: { what: 'most-changed', bytes: 61 * MB, of: 121 * MB },
  });
  const less = image('large', ['x.io/large:1'], 60 * MB);
  assert.deepEqual(
    Object.keys(changes(build({ images: { ...images, large: less } })).images.load),
    ['large'],
  );
});

test('the fingerprint knows names, content, files and modes', () => {
  const { dns } = images;
  assert.ok(dns);
  const others = [
    pins({ images: { ...images, dns: { ...dns, names: ['x.io/dns:2'] } } }),
    pins({ images: { ...images, dns: image('other', dns.names) } }),
    pins({ files: { ...pins().files, two: file('2') } }),
    pins({ files: { ...pins().files, two: file('two', '0600') } }),
  ].map((other) => fingerprintOf(settings, other));
  assert.equal(new Set([...others, fingerprintOf(settings, pins())]).size, 5);
});
