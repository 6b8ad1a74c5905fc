import { join } from 'node:path';
import type { Report } from '../model/event.ts';
import { sweepStaging } from './staging.ts';
import type { Store } from './store.ts';
import { sweepLocks } from './store-lock.ts';

/** Removes what processes that are known to be dead left in the store: downloads under way, and locks. */
export async function sweepStore(store: Store, report: Report): Promise<void> {
  await sweepStaging(store, report);
  await sweepLocks(join(store.directory, 'locks'));
}
