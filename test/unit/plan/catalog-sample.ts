import type { Catalog } from '../../../src/model/catalog-document.ts';
import { parseCatalog } from '../../../src/model/catalog-document.ts';

/** In the shape of Home Assistant's stable.json: no digests, no top-level core. */
export const STABLE = {
  channel: 'stable',
  supervisor: '2026.07.5',
  homeassistant: { default: '2026.8.3', 'raspberrypi4-64': '2026.8.2' },
  hassos: { ova: '18.2' },
  cli: '2026.06.0',
  dns: '2026.02.0',
  audio: '2026.02.1',
  multicast: '2026.08.0',
  observer: '2026.08.1',
  images: {
    core: 'ghcr.io/home-assistant/{machine}-homeassistant',
    supervisor: 'ghcr.io/home-assistant/{arch}-hassio-supervisor',
    cli: 'ghcr.io/home-assistant/{arch}-hassio-cli',
    dns: 'ghcr.io/home-assistant/{arch}-hassio-dns',
    audio: 'ghcr.io/home-assistant/{arch}-hassio-audio',
    multicast: 'ghcr.io/home-assistant/{arch}-hassio-multicast',
    observer: 'ghcr.io/home-assistant/{arch}-hassio-observer',
  },
};

export function catalogOf(value: unknown, from: string): Catalog {
  const catalog = parseCatalog(JSON.stringify(value), from);
  if (!catalog.ok) throw new Error(JSON.stringify(catalog.failure));
  return catalog.value;
}
