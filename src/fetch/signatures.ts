import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { hexOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import { nameOf } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { ImageToFetch } from '../plan/fetch-plan.ts';
import { sourcesOf } from '../plan/fetch-sources.ts';
import type { Signature } from '../store/image-signatures.ts';
import { copyToLayout } from '../tools/skopeo.ts';
import type { Fault, NetworkAccess } from './access.ts';
import { askOnce, askSources, skopeoFault, skopeoRun } from './access.ts';
import { readAddress } from './fetch-file.ts';
import { choosePolicy } from './policy.ts';
import { redact } from './redact.ts';
import { signaturePlaces } from './registries-directory.ts';

/** A lookaside that numbers signatures without end is broken. */
const MOST_SIGNATURES = 64;

/**
 * The signatures of a registry's image, wherever registries.d says that they are: simple ones in a lookaside
 * (containers/image docs/signature-protocols.md), sigstore's as an OCI layout in `sigstore/`. None is no failure: what
 * must be signed is for the policy to say. Fails as a download does.
 */
export async function readSignatures(
  image: ImageToFetch,
  access: NetworkAccess,
  directory: string,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const sources = sourcesOf(image.reference, access.mirrors ?? [], access.mirrorOnly);
  // A mirror of signatures is configured by the mirror's name; without --mirror-only the image's own is asked.
  const names =
    access.mirrorOnly === true
      ? sources.flatMap((source) => source.names)
      : [nameOf(image.reference)];
  for (const name of names) {
    const { lookaside, attachments } = await signaturePlaces(name, access.registriesDirectory);
    const simple =
      lookaside === undefined
        ? ok([])
        : await readLookaside(image, name, lookaside, access, context);
    if (!simple.ok) return simple;
    const sigstore = attachments ? await readAttachment(image, access, directory, context) : ok([]);
    if (!sigstore.ok) return sigstore;
    const all = [...simple.value, ...sigstore.value];
    if (all.length > 0) return ok(all);
  }
  return ok([]);
}

/** Those that skopeo's `dir:` keeps beside the manifest. */
export async function stagedSignatures(directory: string): Promise<readonly Signature[]> {
  const names = (await readdir(directory)).filter((name) => /^signature-\d+$/.test(name)).sort();
  return Promise.all(
    names.map(async (path) => ({ path, content: await readFile(join(directory, path)) })),
  );
}

async function readLookaside(
  image: ImageToFetch,
  name: string,
  lookaside: string,
  access: NetworkAccess,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const path = name.slice(name.indexOf('/'));
  const base = `${lookaside.replace(/\/+$/, '')}${path}@sha256=${hexOf(image.manifest.digest)}`;
  const signatures: Signature[] = [];
  for (let number = 1; number <= MOST_SIGNATURES; number++) {
    const address = `${base}/signature-${number}`;
    const what = `${image.owner}: ${redact(address)}`;
    const read = await askOnce(what, access, context, async (): Promise<Result<Buffer, Fault>> => {
      const chunks: Buffer[] = [];
      const got = await readAddress(address, { ...access, mirrorOnly: false }, context, (chunk) => {
        chunks.push(chunk);
        return Promise.resolve();
      });
      return got.ok ? ok(Buffer.concat(chunks)) : got;
    });
    if (read.ok) signatures.push({ path: `signature-${number}`, content: read.value });
    else if (read.failure.reason === 'registry-refused' && read.failure.why === 'not-found') break;
    else return read;
  }
  return ok(signatures);
}

/** cosign's convention: the tag `sha256-<hex>.sig` in the image's repository. */
async function readAttachment(
  image: ImageToFetch,
  access: NetworkAccess,
  directory: string,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const layout = join(directory, 'sigstore');
  const blobs = join(layout, 'blobs');
  // It is evidence of an image, and no image itself: the policy judges the image.
  const policy = await choosePolicy(undefined, directory, []);
  const copied = await askSources(
    `${image.owner}: its signatures`,
    image.reference,
    access,
    context,
    async (name, skopeo): Promise<Result<void, Fault>> => {
      const done = await copyToLayout(
        {
          ...skopeo,
          source: `docker://${name}:sha256-${hexOf(image.manifest.digest)}.sig`,
          layout,
          blobs,
          policy: policy.path,
          platform: image.platform,
          onProgress: () => undefined,
        },
        skopeoRun(access, context),
      );
      return done.ok ? done : fail(skopeoFault(done.failure, context));
    },
  );
  if (!copied.ok)
    return copied.failure.reason === 'registry-refused' && copied.failure.why === 'not-found'
      ? ok([])
      : copied;
  const entries = await readdir(layout, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return ok(
    await Promise.all(
      files.map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return { path: relative(directory, path), content: await readFile(path) };
      }),
    ),
  );
}
