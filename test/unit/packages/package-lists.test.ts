import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readApkPackages } from '../../../src/packages/apk-packages.ts';
import { readDpkgPackages } from '../../../src/packages/dpkg-packages.ts';
import { APK, DPKG } from '../sbom/samples.ts';

void describe('readDpkgPackages', () => {
  void it('reads what is there, whole or in part', () => {
    assert.deepEqual(readDpkgPackages(DPKG), [
      {
        manager: 'dpkg',
        name: 'libc6',
        version: '2.36-9+deb12u10',
        key: 'libc6:amd64',
        architecture: 'amd64',
        maintainer: 'GNU Libc Maintainers <debian-glibc@lists.debian.org>',
        source: { name: 'glibc', version: '2.36-9' },
        homepage: 'https://www.gnu.org/software/libc/libc.html',
        summary: 'GNU C Library: Shared libraries',
      },
      {
        ...{ manager: 'dpkg', name: 'half', version: '2:1.0~rc1-1', key: 'half' },
        architecture: 'all',
      },
    ]);
  });

  void it('takes fields in any case, blank lines with blanks, and a file of one package', () => {
    const [one, two, ...more] = readDpkgPackages(
      'PACKAGE: a\nversion: 1\n \t\nPackage: b\nVersion: 2',
    );
    assert.deepEqual([one?.name, two?.name, more.length], ['a', 'b', 0]);
    assert.equal(one?.source, undefined);
  });

  void it('finds nothing in anything else', () => {
    for (const text of [
      '',
      '\n\n\n',
      'Package: x',
      'Package:\nVersion: 1',
      '\0\u{1f600}: x\n',
      ' Package: x\n Version: 1',
    ])
      assert.deepEqual(readDpkgPackages(text), []);
  });
});

void describe('readApkPackages', () => {
  void it('reads the fields of packages, and none of files', () => {
    const [musl, old, ...more] = readApkPackages(`${APK}P:x\nF:V:1\nV:2\n`);
    assert.deepEqual(musl, {
      manager: 'apk',
      name: 'musl',
      version: '1.2.5-r10',
      key: 'musl',
      architecture: 'x86_64',
      license: 'MIT',
      maintainer: 'Natanael Copa <ncopa@alpinelinux.org>',
      source: { name: 'musl' },
      homepage: 'https://musl.libc.org/',
      summary: 'the musl c library (libc) implementation',
    });
    assert.equal(old?.license, 'GPL2+ custom');
    assert.deepEqual(more, []);
  });

  void it('finds nothing in anything else', () => {
    for (const text of ['', '\n\n', 'P:x', 'V:1', 'P:\nV:1', 'p:x\nv:1', 'PVAL'])
      assert.deepEqual(readApkPackages(text), []);
  });
});
