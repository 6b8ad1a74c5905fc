import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { digestOf } from '../../../src/model/digest.ts';
import type { FilePin } from '../../../src/model/pins.ts';
import type { InstalledPackage } from '../../../src/packages/installed-package.ts';
import type { DescribedImage } from '../../../src/sbom/described-image.ts';
import { formatSpdx } from '../../../src/sbom/spdx-document.ts';
import { rounds, skip } from '../../rig/skip.ts';
import { makeImage } from '../../rig/image.ts';
import { ALPINE, APK, DEBIAN, describeAll, DPKG, pinOf, storeOf } from './samples.ts';
import type { Raw, RawPackage } from './spdx-rules.ts';
import { problemsOf } from './spdx-rules.ts';

const platform = 'linux/amd64';
const target = { platform, set: {} };
const options = { version: '1.2.3', epoch: undefined };
const LABELS = {
  'org.opencontainers.image.licenses': 'Apache-2.0',
  'org.opencontainers.image.source': 'https://example.org/source',
  'org.opencontainers.image.revision': 'abc123',
  'org.opencontainers.image.vendor': 'Example (Ltd)',
  'org.opencontainers.image.version': '1.2\n"3"',
};
const FILES: Readonly<Record<string, FilePin>> = {
  'etc/a b.txt': { sha256: digestOf('a'), size: 1, mode: '0644' },
  'etc/b.txt': { sha256: digestOf('b'), size: 1, mode: '0600', url: 'https://example.org/b.txt' },
};

const debian = await makeImage({
  platform,
  layers: [{ 'etc/os-release': DEBIAN, 'var/lib/dpkg/status': DPKG }],
  config: { Labels: LABELS },
});
const alpine = await makeImage({
  platform,
  layers: [{ 'etc/os-release': ALPINE, 'lib/apk/db/installed': APK }],
});
/** Another image with the same packages. */
const sister = await makeImage({
  platform,
  layers: [{ 'etc/os-release': ALPINE, 'lib/apk/db/installed': APK }, { app: 'x' }],
});

async function sample(t: Parameters<typeof storeOf>[0]): Promise<string> {
  const samples = await storeOf(t, { debian, alpine, sister }, { files: FILES });
  return formatSpdx((await describeAll(samples)).images, [samples.pins], options);
}

function named(document: Raw, name: string): RawPackage {
  const found = document.packages.filter((element) => element.name === name);
  assert.equal(found.length, 1, name);
  return found[0] as RawPackage;
}

const purlOf = ({ externalRefs }: RawPackage): string =>
  externalRefs?.map(({ referenceLocator }) => referenceLocator).join() ?? '';

void describe('formatSpdx', () => {
  void it('describes images and files, and what images contain', async (t) => {
    const text = await sample(t);
    assert.deepEqual(problemsOf(text), []);
    const document = JSON.parse(text) as Raw;
    assert.equal(document.name, 'container images for linux/amd64');
    assert.equal(document.creationInfo.created, '2023-11-14T22:13:20Z');
    assert.deepEqual(document.creationInfo.creators, ['Tool: stowage-1.2.3']);
    const image = named(document, 'ghcr.io/example/debian:1.0');
    const digest = debian.descriptor.digest;
    assert.equal(image.checksums?.[0]?.checksumValue, digest.slice('sha256:'.length));
    assert.equal(
      purlOf(image),
      `pkg:oci/debian@${digest}?arch=amd64&repository_url=ghcr.io%2Fexample%2Fdebian&tag=1.0`,
    );
    assert.deepEqual(
      [image.licenseDeclared, image.supplier, image.versionInfo, image.sourceInfo],
      [
        'Apache-2.0',
        'Organization: Example Ltd',
        '1.2 "3"',
        'its labels say: https://example.org/source, revision abc123',
      ],
    );
    const libc = named(document, 'libc6');
    assert.equal(
      purlOf(libc),
      'pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc%402.36-9',
    );
    assert.equal(
      libc.supplier,
      'Organization: GNU Libc Maintainers (debian-glibc@lists.debian.org)',
    );
    assert.equal(libc.licenseDeclared, 'NOASSERTION');
    const musl = named(document, 'musl');
    assert.equal(purlOf(musl), 'pkg:apk/alpine/musl@1.2.5-r10?arch=x86_64&distro=alpine-3.22.1');
    assert.equal(musl.licenseDeclared, 'MIT');
    assert.equal(musl.supplier, 'Person: Natanael Copa (ncopa@alpinelinux.org)');
    const [extracted, ...more] = document.hasExtractedLicensingInfos ?? [];
    assert.equal(named(document, 'old-words').licenseDeclared, extracted?.licenseId);
    assert.match(extracted?.extractedText ?? '', /: GPL2\+ custom$/);
    assert.deepEqual(more, []);
    assert.equal(named(document, 'etc/b.txt').downloadLocation, 'https://example.org/b.txt');
    const containing = document.relationships.filter(
      ({ relatedSpdxElement }) => relatedSpdxElement === musl.SPDXID,
    );
    assert.deepEqual(containing.map(({ spdxElementId }) => spdxElementId).sort(), [
      named(document, 'ghcr.io/example/alpine:1.0').SPDXID,
      named(document, 'ghcr.io/example/sister:1.0').SPDXID,
    ]);
    assert.equal(named(document, 'debian').primaryPackagePurpose, 'OPERATING_SYSTEM');
  });

  void it('is valid by the official schema', async (t) => {
    const file = process.env['SPDX_SCHEMA'];
    if (file === undefined || file === '') {
      skip(t, 'SPDX_SCHEMA');
      return;
    }
    const schema = JSON.parse(readFileSync(file, 'utf8')) as object;
    const check = new Ajv({ strict: false, allErrors: true }).compile(schema);
    const document = JSON.parse(await sample(t)) as object;
    assert.ok(check(document), JSON.stringify(check.errors));
    assert.ok(!check({ ...document, packages: [{ name: 'x' }] }));
  });

  void it('has the same bytes for the same content, whatever the order', async (t) => {
    const text = await sample(t);
    const { pins } = await storeOf(t, { alpine, debian, sister }, { files: FILES });
    const samples = await storeOf(t, { sister, debian, alpine }, { files: FILES });
    const { images } = await describeAll(samples);
    assert.equal(formatSpdx(images, [pins], options), text);
    const namespace = (other: string): string => (JSON.parse(other) as Raw).documentNamespace;
    const later = formatSpdx(images, [pins], { ...options, epoch: 1_800_000_000 });
    assert.match(later, /"created": "2027-01-15T08:00:00Z"/);
    assert.notEqual(namespace(later), namespace(text));
    const fewer = formatSpdx(images.slice(1), [pins], options);
    assert.notEqual(namespace(fewer), namespace(text));
  });

  void it('takes the epoch where no image tells a time', async (t) => {
    const samples = await storeOf(t, { alpine });
    const { images } = await describeAll(samples);
    const timeless = images.map((image) => ({ ...image, created: undefined }));
    assert.match(formatSpdx(timeless, [samples.pins], options), /"1970-01-01T00:00:00Z"/);
  });

  void it('takes no time without end for words that are made to, and hides passwords', () => {
    const fillers = [' ', '-', '(', '<', 'a-', 'MIT AND ', '\0', '\u{1f600}', '%', 'MIT (', '> <'];
    const packages = fillers.map((filler): InstalledPackage => {
      const words = `a${filler.repeat(300_000)}`;
      const [license, maintainer, vendor] = [words.slice(1), words, words];
      return {
        ...{ manager: 'apk', name: words, version: words, key: '', homepage: `https://${words}` },
        ...{ license, maintainer, vendor, summary: words, source: { name: words } },
      };
    });
    const labels = {
      'org.opencontainers.image.source': 'https://me:secret@example.org/app',
      'org.opencontainers.image.licenses': '('.repeat(1_000_000),
    };
    const image: DescribedImage = {
      ...{ name: 'app', pin: pinOf('app', alpine), targets: [platform], created: undefined },
      ...{ unread: [], distribution: undefined, packages, labels },
    };
    const text = formatSpdx([image], [{ target, images: {}, files: {} }], options);
    assert.deepEqual(problemsOf(text), []);
    assert.ok(text.length < 1_000_000, `${text.length}`);
    assert.match(text, /https:\/\/\*\*\*@example\.org\/app/);
    assert.doesNotMatch(text, /secret/);
  });

  void it('is valid whatever images and packages say of themselves', () => {
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        ...['MIT', 'GPL-2.0+ or MIT', 'LicenseRef-x AND MIT', 'DocumentRef-a:LicenseRef-b', 'NONE'],
        ...['MIT AND', '(MIT', 'GPLv2+', 'A B <a@b.c>', '<a@b>', 'X (y) <a@b>', '()', 'http://'],
        ...['https://a b', 'https://example.org/?q=ü', 'javascript:x', '\n', '\0', '..', '/', '%'],
      ),
    );
    const version = text.filter((value) => value.trim() !== '');
    // packageurl-js unescapes qualifiers twice.
    const plain = version.filter((value) => !value.includes('%'));
    const found: fc.Arbitrary<InstalledPackage> = fc.record(
      {
        manager: fc.constantFrom('dpkg', 'apk', 'rpm'),
        name: fc.stringMatching(/^[a-z0-9][A-Za-z0-9+._-]{0,30}$/),
        version: fc.oneof(fc.stringMatching(/^(\d:)?[0-9][A-Za-z0-9.+~^-]{0,20}$/), version),
        key: fc.constant(''),
        architecture: plain,
        license: text,
        maintainer: text,
        vendor: text,
        homepage: text,
        summary: text,
        source: fc.record({ name: plain, version: plain }, { requiredKeys: ['name'] }),
      },
      { requiredKeys: ['manager', 'name', 'version', 'key'] },
    );
    const words = fc.dictionary(
      fc.constantFrom(...Object.keys(LABELS), 'org.opencontainers.image.url'),
      text.map((value) => Buffer.from(value).toString()),
    );
    const distribution = fc.option(
      fc.record({ id: fc.stringMatching(/^[a-z0-9._-]+$/), name: version, version: plain }),
      { nil: undefined },
    );
    const image = fc.record({
      packages: fc.array(found, { maxLength: 4 }),
      labels: words,
      distribution,
    });
    const pin = pinOf('app', alpine);
    fc.assert(
      fc.property(fc.array(image, { minLength: 1, maxLength: 3 }), (images) => {
        const described = images.map((one, i): DescribedImage => ({
          ...{ name: `app-${i}`, pin, targets: [platform], created: undefined, unread: [] },
          ...one,
        }));
        const text = formatSpdx(described, [{ target, images: {}, files: FILES }], options);
        assert.deepEqual(problemsOf(text), []);
      }),
      { numRuns: rounds(50, 3000) },
    );
  });
});
