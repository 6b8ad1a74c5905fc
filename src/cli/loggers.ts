import type { Event, Report } from '../model/event.ts';
import { unreachable } from '../model/result.ts';
import { describeFailure, formatBytes } from '../report/describe-failure.ts';

/** Where a logger writes; standard error, so that standard output carries results alone. */
export type Write = (text: string) => void;

/** Milliseconds between two lines about one image's progress in a make log. */
const THROTTLE = 5_000;

export interface LoggerOptions {
  readonly debug: boolean;
  /** Milliseconds since any fixed moment. */
  readonly now: () => number;
}

/** A line for each thing that happens, progress throttled: for make logs. */
export function plainLogger(write: Write, options: LoggerOptions): Report {
  const said = new Map<string, number>();
  return (event) => {
    if (event.type === 'fetch-progress') {
      const last = said.get(event.image) ?? -Infinity;
      if (options.now() - last < THROTTLE) return;
      said.set(event.image, options.now());
    }
    if (event.type === 'fetch-started') said.set(event.image, options.now());
    const text = describeEvent(event, options.debug);
    if (text !== undefined) write(`stowage: ${text}\n`);
  };
}

/** For a terminal: progress overwrites one line at its foot. */
export function prettyLogger(write: Write, options: LoggerOptions): Report {
  const running = new Map<string, { bytes: number; total: number }>();
  let footer = '';
  return (event) => {
    if (event.type === 'fetch-progress') running.set(event.image, event);
    if (event.type === 'fetch-finished') running.delete(event.image);
    const text = event.type === 'fetch-progress' ? undefined : describeEvent(event, options.debug);
    if (footer !== '') write('\r\x1b[K');
    if (text !== undefined) write(`${text}\n`);
    footer = [...running]
      .map(([image, { bytes, total }]) => `${image} ${percent(bytes, total)}`)
      .join('  ')
      .slice(0, 78);
    write(footer);
  };
}

/** One JSON object a line, every event as it is. */
export function jsonLogger(write: Write): Report {
  return (event) => {
    write(`${JSON.stringify(event)}\n`);
  };
}

function describeEvent(event: Event, debug: boolean): string | undefined {
  switch (event.type) {
    case 'resolving':
      return `resolving ${event.what}`;
    case 'pinned':
      return `pinned ${event.name}: ${event.reference}`;
    case 'pins-written':
      return event.changed ? `wrote ${event.file}` : `${event.file} is up to date`;
    case 'fetch-planned':
      return event.missing === 0
        ? `all of ${event.images} images are in the store`
        : `fetching ${event.missing} of ${event.images} images, ${formatBytes(event.bytes)}`;
    case 'fetch-started':
      return `${event.image}: fetching ${formatBytes(event.bytes)}`;
    case 'fetch-progress':
      return `${event.image}: ${percent(event.bytes, event.total)} of ${formatBytes(event.total)}`;
    case 'fetch-finished':
      return `${event.image}: fetched`;
    case 'attempt-failed':
      return `${event.what}: attempt ${event.attempt} of ${event.attempts} failed (${event.detail}); again in ${event.retryIn / 1000} s`;
    case 'mirror-failed':
      return `${event.what}: not from mirror ${event.mirror} (${event.detail})`;
    case 'waiting':
      return `waiting for ${event.what}, which ${event.holder} has`;
    case 'step':
      return event.detail === undefined ? event.step : `${event.step}: ${event.detail}`;
    case 'loaded':
      return `loaded ${event.image} (${formatBytes(event.bytes)}, ${seconds(event.elapsed)})`;
    case 'undo-failed':
      return `warning: could not ${event.what}, the next build will: ${describeFailure(event.failure).message}`;
    case 'reaped':
      return `removed a ${event.what} that a killed build left: ${event.name}`;
    case 'verified':
      return `${event.image}: ok, ${event.images} images, ${event.blobs} blobs, ${event.files} files are as pinned`;
    case 'built':
      return `${event.output}: ${formatBytes(event.size)}, ${event.images} images, in ${seconds(event.elapsed)}`;
    case 'fetched':
      return `${event.images} images and ${event.files} files are in the store, ${formatBytes(event.downloaded)} downloaded`;
    case 'warning':
      return `warning: ${event.about}: ${event.detail}`;
    case 'tool-output':
      return debug ? `${event.tool}: ${event.line}` : undefined;
    default:
      return unreachable(event);
  }
}

function percent(bytes: number, total: number): string {
  return total === 0 ? '100 %' : `${Math.min(100, Math.floor((bytes / total) * 100))} %`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
