import { readFileSync } from 'node:fs';
import {
  makeImage,
  makeIndex,
  makeLayer,
  type Content,
  type Files,
  type Image,
} from '../test/rig/image.ts';
import { machinePlatform } from '../test/rig/platform.ts';

/** What the landing page says once the device's engine runs it. */
export const GREETING = 'Hello from the device: nothing was downloaded, and here I am.';
export const LANDING_PAGE = 'product.example/landingpage:latest';

export interface SampleImages {
  readonly supervisor: Content;
  readonly landingpage: Content;
}

const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7'];

/**
 * Two images for several platforms over one base. This machine's base is a busybox that really runs; for
 * the others there is none to be had here, so theirs are for building alone.
 */
export async function sampleImages(busybox: string): Promise<SampleImages> {
  const supervisors: Record<string, Image> = {};
  const landingpages: Record<string, Image> = {};
  for (const platform of new Set([machinePlatform(), ...PLATFORMS])) {
    const native = platform === machinePlatform();
    const base = await makeLayer({
      ...directories('bin', 'etc', 'tmp', 'srv'),
      'etc/passwd': 'root:x:0:0:root:/:/bin/sh\n',
      'etc/platform': `${platform}\n`,
      ...(native ? program(readFileSync(busybox)) : {}),
    });
    supervisors[platform] = await makeImage({
      platform,
      layers: [base, { 'srv/supervise': script('while sleep 60; do :; done') }],
      config: { Cmd: ['/srv/supervise'], Labels: { 'product.type': 'supervisor' } },
    });
    landingpages[platform] = await makeImage({
      platform,
      layers: [base, { 'srv/greeting': `${GREETING}\n`, 'srv/greet': script('cat /srv/greeting') }],
      config: { Cmd: ['/srv/greet'], Labels: { 'product.type': 'landingpage' } },
    });
  }
  return { supervisor: makeIndex(supervisors), landingpage: makeIndex(landingpages) };
}

function directories(...names: string[]): Files {
  return Object.fromEntries(names.map((name) => [name, { type: 'directory' as const }]));
}

function script(body: string): Files[string] {
  return { content: `#!/bin/sh\n${body}\n`, mode: 0o755 };
}

function program(busybox: Uint8Array): Files {
  const links = ['sh', 'cat', 'sleep', 'ls'].map(
    (name) => [`bin/${name}`, { type: 'symlink' as const, target: 'busybox' }] as const,
  );
  return { 'bin/busybox': { content: busybox, mode: 0o755 }, ...Object.fromEntries(links) };
}
