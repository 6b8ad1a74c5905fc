import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PackageURL } from 'packageurl-js';
import type { InstalledPackage } from '../../../src/packages/installed-package.ts';
import type { Distribution } from '../../../src/sbom/distribution.ts';
import { purlOfPackage } from '../../../src/sbom/package-url.ts';

const base = { manager: 'dpkg', name: 'x', version: '1', key: 'x' } as const;
const debian = { id: 'debian', name: 'Debian GNU/Linux', version: '12' };

const CASES: readonly (readonly [
  Partial<InstalledPackage>,
  from: Distribution | undefined,
  expected: string,
])[] = [
  [{}, debian, 'pkg:deb/debian/x@1?distro=debian-12'],
  [{}, undefined, 'pkg:deb/x@1'],
  [{}, { id: 'constructor', name: '' }, 'pkg:deb/constructor/x@1?distro=constructor'],
  [{}, { id: 'arch', name: 'Arch' }, 'pkg:deb/arch/x@1?distro=arch'],
  [
    { name: 'libstdc++6', version: '1:2.0+dfsg~rc1-1', architecture: 'amd64' },
    debian,
    'pkg:deb/debian/libstdc%2B%2B6@1:2.0%2Bdfsg~rc1-1?arch=amd64&distro=debian-12',
  ],
  [{ source: { name: 'y' } }, debian, 'pkg:deb/debian/x@1?distro=debian-12&upstream=y'],
  [{ source: { name: 'x' } }, debian, 'pkg:deb/debian/x@1?distro=debian-12'],
  [
    { manager: 'rpm', name: 'NetworkManager', version: '1:1.54.0-2.fc43', architecture: 'x86_64' },
    { id: 'fedora', name: 'Fedora Linux', version: '43' },
    'pkg:rpm/fedora/NetworkManager@1.54.0-2.fc43?arch=x86_64&distro=fedora-43&epoch=1',
  ],
  [
    { manager: 'rpm', version: '1-2.el9' },
    { id: 'rhel', name: 'Red Hat Enterprise Linux', version: '9.4' },
    'pkg:rpm/redhat/x@1-2.el9?distro=rhel-9.4',
  ],
  [
    { manager: 'apk', version: '1.2.5-r10', architecture: 'aarch64' },
    { id: 'alpine', name: 'Alpine Linux', version: '3.22.1' },
    'pkg:apk/alpine/x@1.2.5-r10?arch=aarch64&distro=alpine-3.22.1',
  ],
  [{ version: "a'b(c)*!" }, undefined, 'pkg:deb/x@a%27b%28c%29%2A%21'],
];

void describe('purlOfPackage', () => {
  for (const [found, from, expected] of CASES)
    void it(expected, () => {
      const purl = purlOfPackage({ ...base, ...found }, from);
      assert.equal(purl, expected);
      const read = PackageURL.fromString(purl);
      const name = found.name ?? base.name;
      const version = (found.version ?? base.version).replace(
        /^\d+:/,
        found.manager === 'rpm' ? '' : '$&',
      );
      assert.deepEqual([read.name, read.version], [name, version]);
    });
});
