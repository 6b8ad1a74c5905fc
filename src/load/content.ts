import { layerCompression } from '../model/media-types.ts';
import type { TargetPins } from '../model/pins.ts';
import { gzipSize } from '../oci/gzip-size.ts';
import { zstdSize } from '../oci/zstd-size.ts';
import type { ContentEstimate } from '../plan/size.ts';
import { estimateContent } from '../plan/size.ts';
import type { Store } from '../store/store.ts';

/** What pinned content will take, as far as the store's blobs tell without being read. */
export function contentOf(pins: TargetPins, store: Store): ContentEstimate {
  return estimateContent(pins, (layer) => {
    const compression = layerCompression(layer.mediaType);
    if (compression === 'none') return layer.size;
    const path = store.blobPath(layer.digest);
    return compression === 'zstd' ? zstdSize(path) : gzipSize(path);
  });
}
