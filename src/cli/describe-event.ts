import { redact } from '../fetch/redact.ts';
import type { Event } from '../model/event.ts';
import { unreachable } from '../model/result.ts';
import { describeBuildPlan } from '../report/describe-build-plan.ts';
import { describeFailure, formatBytes } from '../report/describe-failure.ts';
import type { Download } from './progress.ts';

/** An event as a line; undefined for what has none: progress has its own, and results are on standard output. */
export function describeEvent(event: Event, debug: boolean): string | undefined {
  switch (event.type) {
    case 'resolving':
      // An image's name is told when it is pinned; only what comes to nothing of its own is told at once.
      return event.name === undefined || debug ? `resolving ${event.what}` : undefined;
    case 'fetch-started':
      return debug ? `${event.image}: fetching ${formatBytes(event.bytes)}` : undefined;
    case 'fetch-progress':
      return undefined;
    // Results: standard output has them.
    case 'fetched':
    case 'pins-written':
    case 'verified':
    case 'built':
      return undefined;
    case 'fetch-finished':
      return `fetched ${event.image}: ${formatBytes(event.bytes)}`;
    case 'waiting':
      return `waiting for ${event.what}, which ${event.holder} has`;
    case 'tool-output':
      return debug ? `${event.tool}: ${redact(event.line)}` : undefined;
    case 'pinned':
      return `${event.dry === true ? 'found' : 'pinned'} ${event.name}: ${event.reference}`;
    case 'fetch-planned':
      return event.missing === 0
        ? event.images === 1
          ? 'the image is in the store'
          : `all of ${event.images} images are in the store`
        : `fetching ${event.missing} of ${event.images} images, ${formatBytes(event.bytes)}`;
    case 'attempt-failed':
      return `${event.what}: attempt ${event.attempt} of ${event.attempts} failed (${event.detail}); again in ${event.retryIn / 1000} s`;
    case 'mirror-failed':
      return `${event.what}: not from mirror ${event.mirror} (${event.detail})`;
    case 'build-planned':
      return describeBuildPlan(event.plan);
    case 'engine-found':
      return `engine: ${event.command} ${event.version}`;
    case 'step':
      return event.detail === undefined ? event.step : `${event.step}: ${event.detail}`;
    case 'loaded':
      return `loaded ${event.image} (${formatBytes(event.bytes)}, ${formatSeconds(event.elapsed)})`;
    case 'undo-failed':
      return `warning: could not ${event.what}, the next build will: ${describeFailure(event.failure).message}`;
    case 'reaped':
      return `removed a ${event.what} that a killed build left: ${event.name}`;
    case 'warning':
      return `warning: ${event.about}: ${event.detail}`;
    default:
      return unreachable(event);
  }
}

/** `43 % of 196 MB, 12.3 MB/s, 9 s left`. */
export function describeDownload(download: Download): string {
  const { bytes, total, rate, remaining } = download;
  const left = remaining === undefined ? '' : `, ${formatDuration(remaining)} left`;
  return `${formatPercent(bytes, total)} of ${formatBytes(total)}, ${formatBytes(rate)}/s${left}`;
}

export function formatPercent(bytes: number, total: number): string {
  return total === 0 ? '100 %' : `${Math.min(100, Math.floor((bytes / total) * 100))} %`;
}

/** `9 s`, `2 min 05 s`, `1 h 03 min`: never less than a second, since nobody knows better. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(1, Math.ceil(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function formatSeconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
