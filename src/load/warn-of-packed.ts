import type { Event } from '../model/event.ts';
import type { ContentEstimate } from '../plan/size.ts';

/** What images that stay packed will take of the partition on the device, whoever loads them. */
export function warnOfPacked({ unpacked }: ContentEstimate): Event {
  const mebibytes = Math.ceil(unpacked.likely / (1024 * 1024));
  return {
    type: 'warning',
    about: 'the images stay packed',
    detail: `the device unpacks each when it first starts it, which takes about ${mebibytes} MiB more of the partition for all of them`,
  };
}
