import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseYaml } from '../model/bundle-yaml.ts';
import { scopesOf } from './policy.ts';

/** Where a registry's signatures are, by containers-registries.d(5). */
export interface SignaturePlaces {
  /** A URL, `file:` or `https:`, below which simple signatures are. */
  readonly lookaside?: string;
  /** Whether sigstore signatures are looked for beside the image in its own registry. */
  readonly attachments: boolean;
}

/** The directory given, else the user's if there is one, else the machine's, as skopeo does. */
export async function signaturePlaces(
  name: string,
  given: string | undefined,
  theirs: readonly string[] = [
    join(homedir(), '.config/containers/registries.d'),
    '/etc/containers/registries.d',
  ],
): Promise<SignaturePlaces> {
  for (const directory of given === undefined ? theirs : [given]) {
    const names = await readdir(directory).catch(() => undefined);
    if (names === undefined) continue;
    const documents: unknown[] = [];
    for (const file of names.filter((entry) => entry.endsWith('.yaml')).sort()) {
      const text = await readFile(join(directory, file), 'utf8').catch(() => '');
      documents.push(parseDocument(text));
    }
    return placesIn(documents, name);
  }
  return { attachments: false };
}

/** What the documents say of `HOST/PATH`: of the narrowest scope that says anything of it, else of `default-docker`. */
export function placesIn(documents: readonly unknown[], name: string): SignaturePlaces {
  const scopes: Json[] = [];
  for (const scope of scopesOf(name))
    for (const document of documents) scopes.push(section(section(document, 'docker'), scope));
  for (const document of documents) scopes.push(section(document, 'default-docker'));
  // `sigstore` is what `lookaside` was called once, long before sigstore.
  const lookaside = scopes
    .flatMap((scope) => [scope['lookaside'], scope['sigstore']])
    .find((value) => typeof value === 'string' && value !== '');
  const attachments = scopes
    .map((scope) => scope['use-sigstore-attachments'])
    .find((value) => typeof value === 'boolean');
  return {
    ...(typeof lookaside === 'string' ? { lookaside } : {}),
    attachments: attachments === true,
  };
}

type Json = Readonly<Record<string, unknown>>;

function section(value: unknown, name: string): Json {
  const found = (value as Json | null | undefined)?.[name];
  return typeof found === 'object' && found !== null ? (found as Json) : {};
}

/** skopeo itself refuses what is no YAML, so nothing is left to say here. */
function parseDocument(text: string): unknown {
  const document = parseYaml(text);
  return document.ok ? document.value.value : undefined;
}
