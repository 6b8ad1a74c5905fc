import type { Digest } from '../model/digest.ts';
import { digestOf } from '../model/digest.ts';
import type { EditedPin } from '../model/failure.ts';
import type { DindPin, FilePin, ImagePin, TargetPins } from '../model/pins.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference, nameOf, parseReference, taggedName } from '../model/reference.ts';
import { unreachable } from '../model/result.ts';
import type { LocatedSource, Wanted, WantedFile, WantedImage } from './wanted.ts';

/**
 * Where the pins are of another state of the bundle: phrases in a fixed order, none where they fit. What tags mean by
 * now at the registry is not asked: `moved` tells that, after pinning anew.
 */
export function stale(wanted: Wanted, pins: TargetPins): readonly string[] {
  const differences: string[] = [];
  const from = pins.catalog?.from;
  if (from !== wanted.catalog?.from) {
    differences.push(
      `catalog: ${from ?? 'none'} is pinned, the bundle names ${wanted.catalog?.from ?? 'none'}`,
    );
  }
  for (const name of union(wanted.images, pins.images)) {
    const image = own(wanted.images, name);
    const pin = own(pins.images, name);
    if (image === undefined) differences.push(`images.${name} is pinned and not in the bundle`);
    else differences.push(...staleImage(name, image, pin));
  }
  for (const path of union(wanted.files, pins.files)) {
    const file = own(wanted.files, path);
    const pin = own(pins.files, path);
    if (file === undefined) differences.push(`files.${path} is pinned and not in the bundle`);
    else differences.push(...staleFile(path, file, pin));
  }
  differences.push(...staleDind(wanted, pins.dind));
  return differences;
}

/**
 * Where pins contradict themselves, by path in their target: a reference of which somebody edited the digest, or the
 * digests beside it. `stale` names these too, in the same words.
 */
export function contradictions(pins: TargetPins): readonly EditedPin[] {
  const found: EditedPin[] = [];
  const add = (
    where: string,
    path: readonly string[],
    pin: ImagePin | DindPin,
    digest: Digest | undefined,
  ): void => {
    const reference = parseReference(pin.reference);
    const detail = reference.ok ? contradiction(where, reference.value, digest) : undefined;
    if (detail !== undefined) found.push({ path: [...path, 'reference'], detail });
  };
  for (const [name, pin] of Object.entries(pins.images))
    add(`images.${name}`, ['images', name], pin, pin.index ?? pin.manifest.digest);
  const { dind } = pins;
  if (dind !== undefined)
    add(
      'engine.dind',
      ['dind'],
      dind,
      dind.index ?? Object.values(dind.platforms)[0]?.manifest.digest,
    );
  return found;
}

function contradiction(
  where: string,
  reference: Reference,
  digest: Digest | undefined,
): string | undefined {
  return digest === undefined || reference.digest === digest
    ? undefined
    : `${where}: its reference says ${short(reference.digest)}, and the digests beside it are of ${short(digest)}`;
}

/** Of one image: none where its pin fits, so that it can be kept when others are pinned anew. */
export function staleImage(
  name: string,
  image: WantedImage,
  pin: ImagePin | undefined,
): readonly string[] {
  const where = `images.${name}`;
  if (pin === undefined) return [`${where} is not pinned`];
  const differences = [...sourceDifferences(where, image, pin, pin.index ?? pin.manifest.digest)];
  if ((pin.keptIndex !== undefined) !== (image.keepIndex === true && pin.index !== undefined)) {
    const was = pin.keptIndex === undefined ? 'not pinned to be kept' : 'pinned to be kept';
    const is = image.keepIndex === true ? 'wants it' : 'does not want it';
    differences.push(`${where}: its index is ${was}, and the bundle ${is}`);
  }
  if (image.names.join(' ') !== [...pin.names].sort().join(' ')) {
    differences.push(
      `${where}: its names are pinned as ${pin.names.join(', ')}, and are ${image.names.join(', ')}`,
    );
  }
  return differences;
}

export function staleFile(
  path: string,
  file: WantedFile,
  pin: FilePin | undefined,
): readonly string[] {
  const where = `files.${path}`;
  return pin === undefined ? [`${where} is not pinned`] : fileDifferences(where, file, pin);
}

export function staleDind(
  wanted: Pick<Wanted, 'dind' | 'dindLocal' | 'withoutDind'>,
  pin: DindPin | undefined,
): readonly string[] {
  if (wanted.withoutDind === true) return [];
  if (pin === undefined) return ['the dind image is not pinned'];
  const digest = pin.index ?? Object.values(pin.platforms)[0]?.manifest.digest;
  const dind = { reference: wanted.dind, local: wanted.dindLocal };
  return sourceDifferences('engine.dind', dind, pin, digest);
}

/** What pinning anew changed, such as `core: 2026.8.3 sha256:01ba4719… → sha256:2c26b46b…`: for `pin --check`. */
export function moved(before: TargetPins, after: TargetPins): readonly string[] {
  const changes: string[] = [];
  const compare = <T>(
    old: Readonly<Record<string, T>>,
    now: Readonly<Record<string, T>>,
    prefix: string,
    describe: (a: T, b: T) => string | undefined,
  ): void => {
    for (const name of union(old, now)) {
      const a = own(old, name);
      const b = own(now, name);
      if (a === undefined) changes.push(`${prefix}${name}: added`);
      else if (b === undefined) changes.push(`${prefix}${name}: removed`);
      else {
        const change = describe(a, b);
        if (change !== undefined) changes.push(`${prefix}${name}: ${change}`);
      }
    }
  };
  compare(before.images, after.images, '', (a, b) =>
    describeMove({ ...a, digest: a.manifest.digest }, { ...b, digest: b.manifest.digest }),
  );
  compare(before.files, after.files, '', (a, b) => {
    if (a.sha256 !== b.sha256) return `${short(a.sha256)} → ${short(b.sha256)}`;
    if (a.mode !== b.mode) return `mode ${a.mode} → ${b.mode}`;
    return a.url === b.url ? undefined : `${a.url ?? 'the bundle'} → ${b.url ?? 'the bundle'}`;
  });
  const dindOf = (pins: TargetPins): Readonly<Record<string, Pinned>> =>
    pins.dind === undefined ? {} : { dind: pins.dind };
  compare(dindOf(before), dindOf(after), '', describeMove);
  return changes;
}

/** A local image is known by its place; its reference is only its first name, and names are compared by themselves. */
function sourceDifferences(
  where: string,
  wanted: { readonly reference: Reference; readonly local?: LocatedSource | undefined },
  pin: { readonly reference: string; readonly from?: string },
  digest: Digest | undefined,
): readonly string[] {
  const { local } = wanted;
  if (local?.text !== pin.from) {
    const was = pin.from ?? pin.reference;
    const is = local?.text ?? formatReference(wanted.reference);
    return [`${where}: ${was} is pinned, the bundle wants ${is}`];
  }
  if (local === undefined)
    return referenceDifferences(where, wanted.reference, pin.reference, digest);
  const reference = parseReference(pin.reference);
  return reference.ok
    ? referenceDifferences(where, reference.value, pin.reference, digest)
    : [`${where}: ${reference.failure.detail}`];
}

function referenceDifferences(
  where: string,
  wanted: Reference,
  pinned: string,
  digest: Digest | undefined,
): readonly string[] {
  const parsed = parseReference(pinned);
  if (!parsed.ok) return [`${where}: ${parsed.failure.detail}`];
  const reference = parsed.value;
  if (
    nameOf(reference) !== nameOf(wanted) ||
    reference.tag !== wanted.tag ||
    (wanted.digest ?? reference.digest) !== reference.digest
  ) {
    const shown = wanted.digest === undefined ? (taggedName(reference) ?? pinned) : pinned;
    return [`${where}: ${shown} is pinned, the bundle wants ${formatReference(wanted)}`];
  }
  const detail = contradiction(where, reference, digest);
  return detail === undefined ? [] : [detail];
}

function fileDifferences(where: string, file: WantedFile, pin: FilePin): readonly string[] {
  const differences: string[] = [];
  switch (file.kind) {
    case 'url':
      if (pin.url !== file.url) {
        differences.push(
          `${where}: ${pin.url ?? 'content of the bundle'} is pinned, the bundle names ${file.url}`,
        );
      }
      break;
    case 'content':
      if (pin.url !== undefined) {
        differences.push(`${where}: ${pin.url} is pinned, the bundle holds its content`);
      } else if (pin.sha256 !== digestOf(file.content)) {
        differences.push(`${where}: its content changed`);
      }
      break;
    default:
      return unreachable(file);
  }
  if (pin.mode !== file.mode) {
    differences.push(`${where}: mode ${pin.mode} is pinned, the bundle says ${file.mode}`);
  }
  return differences;
}

interface Pinned {
  readonly reference: string;
  readonly from?: string;
  readonly keptIndex?: { readonly digest: Digest };
  readonly digest?: Digest;
  readonly names?: readonly string[];
}

function describeMove(before: Pinned, after: Pinned): string | undefined {
  const a = parseReference(before.reference);
  const b = parseReference(after.reference);
  if (!a.ok || !b.ok) return before.reference === after.reference ? undefined : 'changed';
  const digestA = short(a.value.digest);
  const digestB = short(b.value.digest);
  if (nameOf(a.value) !== nameOf(b.value)) {
    return `${taggedName(a.value) ?? nameOf(a.value)} ${digestA} → ${taggedName(b.value) ?? nameOf(b.value)} ${digestB}`;
  }
  const tagA = a.value.tag === undefined ? '' : `${a.value.tag} `;
  const tagB = b.value.tag === undefined ? '' : `${b.value.tag} `;
  if (tagA !== tagB) return `${tagA}${digestA} → ${tagB}${digestB}`;
  if (a.value.digest !== b.value.digest) return `${tagA}${digestA} → ${digestB}`;
  if (before.digest !== after.digest) {
    return `${tagA}manifest ${short(before.digest)} → ${short(after.digest)}`;
  }
  if (before.from !== after.from) {
    return `${before.from ?? 'its registry'} → ${after.from ?? 'its registry'}`;
  }
  if (before.keptIndex?.digest !== after.keptIndex?.digest) {
    return after.keptIndex === undefined ? 'its index is not kept' : 'its index is kept';
  }
  const [namesA, namesB] = [before.names?.join(', '), after.names?.join(', ')];
  return namesA === namesB ? undefined : `names ${namesA ?? ''} → ${namesB ?? ''}`;
}

/** Enough of a digest to tell it from others. */
function short(digest: Digest | undefined): string {
  return digest === undefined ? 'no digest' : `${digest.slice(0, 'sha256:'.length + 12)}…`;
}

function union(a: object, b: object): readonly string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
