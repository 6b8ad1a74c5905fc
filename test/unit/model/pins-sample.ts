import fc from 'fast-check';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { ImagePin, Pins, Target, TargetPins } from '../../../src/model/pins.ts';
import { targetKey } from '../../../src/model/pins-document.ts';

export function descriptor(seed: string, mediaType: string): Descriptor {
  return { digest: digestOf(seed), mediaType, size: seed.length };
}

/** The pin of `NAME:TAG` (a full name); every digest is made of `seed`. */
export function imagePin(name: string, seed: string, platform = 'linux/arm64'): ImagePin {
  const index = digestOf(`${seed} index`);
  return {
    reference: `${name}@${index}`,
    index,
    manifest: descriptor(`${seed} manifest`, 'application/vnd.oci.image.manifest.v1+json'),
    config: descriptor(`${seed} config`, 'application/vnd.oci.image.config.v1+json'),
    layers: [descriptor(`${seed} layer`, 'application/vnd.oci.image.layer.v1.tar+gzip')],
    platform,
    names: [name],
  };
}

export function targetPins(target: Partial<Target> = {}): TargetPins {
  const dind = imagePin('docker.io/library/docker:28.5.2-dind', 'dind');
  return {
    target: { platform: 'linux/arm64', set: {}, ...target },
    images: { core: imagePin('ghcr.io/x/core:1', 'core', target.platform) },
    files: { 'a/b.json': { sha256: digestOf('{}\n'), size: 3, mode: '0644' } },
    dind: {
      reference: dind.reference,
      ...(dind.index === undefined ? {} : { index: dind.index }),
      platforms: {
        'linux/amd64': { manifest: dind.manifest, config: dind.config, layers: dind.layers },
      },
    },
  };
}

export function pinsOf(...targets: readonly TargetPins[]): Pins {
  return { targets: Object.fromEntries(targets.map((pins) => [targetKey(pins.target), pins])) };
}

/** Pins of any valid shape, with keys in any order. */
export const arbitraryPins: fc.Arbitrary<Pins> = (() => {
  const dictionary = <T>(
    key: fc.Arbitrary<string>,
    value: fc.Arbitrary<T>,
  ): fc.Arbitrary<Record<string, T>> =>
    fc.dictionary(key, value, { maxKeys: 3, noNullPrototype: true });
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/);
  const text = fc.string({ maxLength: 12 });
  const digest = text.map((seed) => digestOf(seed));
  const blob = fc.record({
    digest,
    mediaType: name.map((word) => `application/${word}`),
    size: fc.nat(),
  });
  const platform = fc.constantFrom('linux/amd64', 'linux/arm64', 'linux/arm/v7');
  const full = fc.tuple(name, name).map(([repository, tag]) => `ghcr.io/${repository}:${tag}`);
  const content = { manifest: blob, config: blob, layers: fc.array(blob, { maxLength: 3 }) };
  const reference = fc.tuple(full, digest).map(([tagged, fixed]) => `${tagged}@${fixed}`);
  const image = fc.record({
    ...content,
    reference,
    platform,
    names: fc.uniqueArray(full, { minLength: 1, maxLength: 3 }),
  });
  const withIndex = fc
    .tuple(image, fc.option(digest, { nil: undefined }))
    .map(([pin, index]) => (index === undefined ? pin : { ...pin, index }));
  const file = fc.record({ sha256: digest, size: fc.nat(), mode: fc.constantFrom('0644', '4755') });
  const target = fc
    .tuple(platform, fc.option(name, { nil: undefined }), dictionary(name, text))
    .map(([on, machine, set]) => ({
      platform: on,
      ...(machine === undefined ? {} : { machine }),
      set,
    }));
  return (
    fc
      .array(
        fc.record({
          target,
          catalog: fc.record({ from: name, values: dictionary(name, text) }),
          images: dictionary(name, withIndex),
          files: dictionary(name, file),
          dind: fc.record({
            reference,
            platforms: dictionary(platform, fc.record(content)),
          }),
        }),
        { maxLength: 3 },
      )
      // fast-check's records have no prototype, which deepEqual minds.
      .map((targets) => structuredClone(pinsOf(...targets.map(forTarget))))
  );
})();

/** Every image is for its target's platform. */
function forTarget(pins: TargetPins): TargetPins {
  const { platform } = pins.target;
  const images = Object.entries(pins.images).map(([name, pin]) => [name, { ...pin, platform }]);
  return { ...pins, images: Object.fromEntries(images) as TargetPins['images'] };
}
