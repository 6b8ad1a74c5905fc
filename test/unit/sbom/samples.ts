import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Descriptor as OurDescriptor } from '../../../src/model/descriptor.ts';
import { parseDigest } from '../../../src/model/digest.ts';
import type { Event } from '../../../src/model/event.ts';
import type { Failure } from '../../../src/model/failure.ts';
import type { FilePin, ImagePin, Target, TargetPins } from '../../../src/model/pins.ts';
import type { DescribedImage } from '../../../src/sbom/described-image.ts';
import { describeImages } from '../../../src/sbom/describe-images.ts';
import type { Store } from '../../../src/store/store.ts';
import { openStore } from '../../../src/store/store.ts';
import type { Descriptor, Image } from '../../rig/image.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

/** Images in a store, as a fetch leaves them, and their pins. */
export interface Samples {
  readonly store: Store;
  readonly pins: TargetPins;
}

export async function storeOf(
  t: TestContext,
  images: Readonly<Record<string, Image>>,
  more: { readonly target?: Target; readonly files?: Readonly<Record<string, FilePin>> } = {},
): Promise<Samples> {
  const directory = temporaryTree(t);
  const blobs = join(directory, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(directory, 'stowage-store.json'), '{"format":1}\n');
  for (const image of Object.values(images))
    for (const [digest, bytes] of image.blobs)
      writeFileSync(join(blobs, digest.slice('sha256:'.length)), bytes);
  const store = await openStore(directory);
  assert.ok(store.ok);
  const { target = { platform: 'linux/amd64', set: {} }, files = {} } = more;
  const pinned = Object.entries(images).map(([name, image]) => [name, pinOf(name, image)] as const);
  return { store: store.value, pins: { target, images: Object.fromEntries(pinned), files } };
}

export function pinOf(name: string, image: Image): ImagePin {
  const tagged = `ghcr.io/example/${name}:1.0`;
  return {
    reference: `${tagged}@${image.descriptor.digest}`,
    manifest: ours(image.descriptor),
    config: ours(image.config),
    layers: image.layers.map(ours),
    platform: 'linux/amd64',
    names: [tagged],
  };
}

function ours({ digest, size, mediaType }: Descriptor): OurDescriptor {
  const parsed = parseDigest(digest);
  assert.ok(parsed);
  return { digest: parsed, size, mediaType };
}

export interface Told {
  readonly images: readonly DescribedImage[];
  /** Warnings, with what they are about. */
  readonly warnings: readonly string[];
}

export async function describeAll({ store, pins }: Samples): Promise<Told> {
  const events: Event[] = [];
  const images = await describeImages([pins], store, {
    signal: new AbortController().signal,
    report: (event) => events.push(event),
  });
  assert.ok(images.ok, JSON.stringify(images));
  const warnings = events.flatMap((event) =>
    event.type === 'warning' ? [`${event.about}: ${event.detail}`] : [],
  );
  return { images: images.value, warnings };
}

export async function refusedBy({ store, pins }: Samples, signal?: AbortSignal): Promise<Failure> {
  const context = { signal: signal ?? new AbortController().signal, report: () => undefined };
  const images = await describeImages([pins], store, context);
  assert.ok(!images.ok);
  return images.failure;
}

export const DPKG = `Package: libc6
Status: install ok installed
Priority: optional
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: glibc (2.36-9)
Version: 2.36-9+deb12u10
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
Homepage: https://www.gnu.org/software/libc/libc.html

Package: gone
Status: deinstall ok config-files
Version: 1

Package: never
Status: purge ok not-installed
Version: 1

Package: half
Status: install ok half-configured
Version: 2:1.0~rc1-1
Architecture: all

`;

export const APK = `C:Q1Xg1iLm2iSu2gGiJ3yDwAj5gkD2I=
P:musl
V:1.2.5-r10
A:x86_64
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Natanael Copa <ncopa@alpinelinux.org>
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755

C:Q1Xg1iLm2iSu2gGiJ3yDwAj5gkD2I=
P:old-words
V:1-r0
L:GPL2+ custom

`;

export const DEBIAN = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
`;

export const ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n';
