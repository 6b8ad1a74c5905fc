import type { Pins } from '../model/pins.ts';
import type { ContentFile, ContentImage, Contents } from './contents.ts';
import { layersOf, sortImages } from './image-content.ts';

/** What pins tell of images: everything but their configs. Those of several targets are told apart by `target`. */
export function readPinsContent(pins: Pins, source: string): Contents {
  const images: ContentImage[] = [];
  const files: ContentFile[] = [];
  const targets = Object.entries(pins.targets);
  for (const [key, target] of targets) {
    const of = targets.length > 1 ? { target: key } : {};
    for (const pin of Object.values(target.images)) {
      const index = pin.keptIndex?.digest ?? pin.index;
      images.push({
        names: [...pin.names].sort(),
        ...of,
        platform: pin.platform,
        ...(index === undefined ? {} : { index }),
        manifest: pin.manifest.digest,
        config: pin.config.digest,
        layers: layersOf(pin.layers, undefined),
        documents: pin.manifest.size + pin.config.size + (pin.keptIndex?.size ?? 0),
      });
    }
    for (const [path, { sha256, size, mode }] of Object.entries(target.files))
      files.push({ path, size, mode, sha256, ...of });
  }
  return { kind: 'pins', source, images: sortImages(images), files };
}
