import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Layer } from '../rig/image.ts';
import { digestOf, makeLayer } from '../rig/image.ts';
import type { Owner } from '../rig/owner.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** Small ones: of a source of the same name and of another, of one architecture and of all. */
const PACKAGES = ['base-files', 'hostname', 'netbase', 'libtinfo6', 'zlib1g'];

export interface PackagedLayer {
  readonly layer: Layer;
  /** What the package manager itself lists: `libtinfo6 6.4-4`. */
  readonly listed: readonly string[];
}

/**
 * A layer with packages of this machine's distribution, installed by the real dpkg. They come without their scripts,
 * which would run on this machine.
 */
export async function debianLayer(owner: Owner): Promise<PackagedLayer> {
  const dir = temporaryTree(owner);
  await must('apt-get', ['-q', 'download', '-o', 'APT::Sandbox::User=root', ...PACKAGES], {
    cwd: dir,
  });
  const root = join(dir, 'root');
  for (const below of ['info', 'updates', 'triggers'])
    mkdirSync(join(root, 'var/lib/dpkg', below), { recursive: true });
  const log = `--log=${join(dir, 'log')}`;
  const dpkg = [`--root=${root}`, '--force-depends', '--force-not-root', log];
  for (const [i, name] of readdirSync(dir)
    .filter((file) => file.endsWith('.deb'))
    .entries()) {
    const [tree, bare] = [join(dir, `${i}`), join(dir, `${i}-bare.deb`)];
    await must('dpkg-deb', ['-R', join(dir, name), tree]);
    for (const script of ['preinst', 'postinst', 'prerm', 'postrm', 'config'])
      rmSync(join(tree, 'DEBIAN', script), { force: true });
    await must('dpkg-deb', ['--root-owner-group', '-b', tree, bare]);
    await mustAsRoot('dpkg', [...dpkg, '-i', bare]);
  }
  const format = '-f=${Package} ${Version}\\n';
  const listed = await must('dpkg-query', [`--admindir=${root}/var/lib/dpkg`, '-W', format]);
  const archive = join(dir, 'root.tar');
  const options = ['--numeric-owner', '--sort=name', '--mtime=@1700000000'];
  await mustAsRoot('tar', ['-C', root, ...options, '-cf', archive, '.']);
  const tar = readFileSync(archive);
  const blob = gzipSync(tar);
  return {
    layer: { blob, digest: digestOf(blob), diffId: digestOf(tar), compressed: true },
    listed: listed.split('\n').filter((line) => line !== ''),
  };
}

/** As Alpine's images have it: links for merged directories, and apk's database, in a layer packed by zstd. */
export async function alpineLayer(database: string): Promise<PackagedLayer> {
  const plain = await makeLayer(
    {
      'etc/os-release': { type: 'symlink', target: '../usr/lib/os-release' },
      'usr/lib/os-release': 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n',
      'etc/apk/world': 'alpine-base\n',
      'lib/apk/db/installed': database,
      'lib/apk/db/triggers': '',
    },
    { gzip: false },
  );
  const blob = execFileSync('zstd', ['-qc'], { input: plain.blob });
  const names = [...database.matchAll(/^P:(.*)\nV:(.*)$/gm)];
  return {
    layer: { ...plain, blob, digest: digestOf(blob) },
    listed: names.map(([, name = '', version = '']) => `${name} ${version}`),
  };
}

/** What rpm 4.18 itself has written: test/unit/packages/fixtures. */
export function rpmDatabase(): Buffer {
  const fixtures = join(import.meta.dirname, '..', 'unit', 'packages', 'fixtures');
  return gunzipSync(readFileSync(join(fixtures, 'rpmdb.sqlite.gz')));
}

/** Four packages as apk-package(5) has their fields and as apk 2.14 orders them. */
export const APK_DATABASE = `C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:alpine-baselayout-data
V:3.7.0-r0
A:x86_64
S:11712
I:77824
T:Alpine base dir structure and init scripts
U:https://git.alpinelinux.org/cgit/aports/tree/main/alpine-baselayout
L:GPL-2.0-only
o:alpine-baselayout
m:Natanael Copa <ncopa@alpinelinux.org>
t:1746534462
c:3b8f5bdb9af4fe9ac0a5e4f9aa31bb5ae8bc4a16
r:alpine-baselayout
F:etc
R:fstab
Z:Q11Q7hNe8QpDS531guqCdrXBzoA/o=

C:Q1nGSsSDM0a9oIfqWZVxOIzYTyFBE=
P:busybox
V:1.37.0-r18
A:x86_64
S:509600
I:820000
T:Size optimized toolbox of many common UNIX utilities
U:https://busybox.net/
L:GPL-2.0-only
o:busybox
m:Sören Tempel <soeren+alpine@soeren-tempel.net>
t:1748009412
D:so:libc.musl-x86_64.so.1
p:/bin/sh cmd:busybox=1.37.0-r18
F:bin
R:busybox
a:0:0:755
Z:Q1pcfTfDNEbNKQc2s1tia7da05M8Q=

C:Q1jGVkmYYOmXqeXDkM/0fnRz2kTck=
P:libssl3
V:3.5.1-r0
A:x86_64
T:SSL shared libraries
U:https://www.openssl.org/
L:Apache-2.0
o:openssl
m:Ariadne Conill <ariadne@dereferenced.org>
F:usr
F:usr/lib
R:libssl.so.3
a:0:0:755

C:Q1x5uUWXvCkQQxg6KkpJvkz8GxQ8M=
P:vendor-tool
V:0_git20240101-r3
A:noarch
T:what a vendor has built
L:custom:Vendor EULA
F:opt
R:tool

`;
