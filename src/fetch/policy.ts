import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { replaceFile } from '../store/content.ts';

/** Accepts everything: what was pinned by digest needs no signature to be what was pinned. */
const OURS = '{"default":[{"type":"insecureAcceptAnything"}]}\n';

/**
 * The trust policy skopeo shall use: the one given, else undefined where the user or the system has one
 * (containers-policy.json(5)), which skopeo then finds and honours, else ours, written into `directory`.
 */
export async function choosePolicy(
  given: string | undefined,
  directory: string,
  theirs: readonly string[] = [
    join(homedir(), '.config/containers/policy.json'),
    '/etc/containers/policy.json',
  ],
): Promise<string | undefined> {
  if (given !== undefined) return given;
  for (const path of theirs) {
    try {
      await access(path);
      return undefined;
    } catch {
      // Not there, or not for us.
    }
  }
  const path = join(directory, 'policy.json');
  await replaceFile(path, OURS, false);
  return path;
}
