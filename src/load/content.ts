import { layerCompression } from '../model/media-types.ts';
import type { TargetPins } from '../model/pins.ts';
import { gzipSize } from '../oci/gzip-size.ts';
import type { ContentEstimate } from '../plan/size.ts';
import { estimateContent } from '../plan/size.ts';
import type { Store } from '../store/store.ts';

/** What pinned content will take, as far as the store's blobs tell without being read. */
export function contentOf(pins: TargetPins, store: Store): ContentEstimate {
  return estimateContent(pins, (layer) =>
    layerCompression(layer.mediaType) === 'none'
      ? layer.size
      : gzipSize(store.blobPath(layer.digest)),
  );
}
