import { readFile } from 'node:fs/promises';
import type { ImagePin } from '../../model/pins.ts';
import type { Platform } from '../../model/platform.ts';
import { platformOf } from '../../model/platform.ts';
import { readStatedPlatform } from '../../oci/image-parts.ts';
import type { Store } from '../../store/store.ts';

/**
 * What an image's config says it is for, which is all that an engine goes by: an index may have named a variant that
 * the config leaves out, and the pins have that one. Undefined where the config can't be read; whoever streams it
 * tells why.
 */
export async function statedPlatform(store: Store, image: ImagePin): Promise<Platform | undefined> {
  try {
    return platformOf(...readStatedPlatform(await readFile(store.blobPath(image.config.digest))));
  } catch {
    return undefined;
  }
}
