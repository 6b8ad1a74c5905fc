import { redact } from '../fetch/redact.ts';
import type { Event, Report } from '../model/event.ts';
import { describeDownload, describeEvent, formatPercent } from './describe-event.ts';
import { startProgress } from './progress.ts';
import type { Screen } from './terminal-progress.ts';
import { progressLines } from './terminal-progress.ts';
import { visible } from './visible.ts';

/** Where a logger writes; standard error, so that standard output carries results alone. */
export type Write = (text: string) => void;

export interface Logger {
  readonly report: Report;
  /** A line of the program's own. */
  readonly say: (text: string) => void;
  /** Shows what is under way as it is by now: call it now and then, and when the terminal's size changed. */
  readonly refresh: () => void;
  /** Takes away what was only for the moment; nothing may be written before by anybody else. */
  readonly close: () => void;
}

export interface LoggerOptions {
  readonly debug: boolean;
  /** Milliseconds since any fixed moment. */
  readonly now: () => number;
}

/** Milliseconds between two lines of progress in a make log. */
const THROTTLE = 5_000;
/** Milliseconds between two pictures on a terminal. */
const FRAME = 100;

/** A line for each thing that happens, and now and then one for all that is under way: for make logs. */
export function plainLogger(write: Write, options: LoggerOptions): Logger {
  const progress = startProgress(options.now);
  // Counted from when something began, so that what is quick says nothing.
  let since: number | undefined;
  const refresh = (): void => {
    const sum = progress.sum();
    const resolving = progress.resolving();
    if (sum === undefined && resolving.length === 0) {
      since = undefined;
      return;
    }
    since ??= options.now();
    if (options.now() - since < THROTTLE) return;
    since = options.now();
    if (sum === undefined) {
      write(`stowage: resolving ${resolving.join(', ')}\n`);
      return;
    }
    const each = progress
      .downloads()
      .map(({ name, bytes, total }) => `${name} ${formatPercent(bytes, total)}`);
    const which = each.length === 0 ? '' : ` (${each.join(', ')})`;
    write(`stowage: ${describeDownload(sum)}${which}\n`);
  };
  return {
    report: (event) => {
      progress.take(event);
      const text = describeEvent(event, options.debug);
      if (text !== undefined) write(`stowage: ${visible(text)}\n`);
      refresh();
    },
    say: (text) => {
      write(`stowage: ${visible(text)}\n`);
    },
    refresh,
    close: () => undefined,
  };
}

/**
 * For a terminal: what is under way has lines at its foot, which are drawn again and again. The cursor is never
 * hidden and rests behind the last of them, so that a process that is killed leaves nothing to mend.
 */
export function prettyLogger(write: Write, options: LoggerOptions, screen: Screen): Logger {
  const progress = startProgress(options.now);
  let drawn: readonly string[] = [];
  let drawnAt = -Infinity;
  const erase = (): string => {
    if (drawn.length === 0) return '';
    // A terminal that became narrower has wrapped them.
    const rows = drawn.reduce(
      (sum, line) =>
        sum + Math.max(1, Math.ceil(Array.from(line).length / Math.max(1, screen.columns))),
      0,
    );
    // Line by line: what is erased at once from the top, tmux keeps in its history.
    return `\r\x1b[K${'\x1b[1A\x1b[K'.repeat(rows - 1)}`;
  };
  const draw = (above: string): void => {
    const lines = progressLines(progress, screen).map(visible);
    if (above === '' && lines.length === 0 && drawn.length === 0) return;
    // In one write, so that nothing flickers.
    write(`${erase()}${above}${lines.join('\n')}`);
    drawn = lines;
    drawnAt = options.now();
  };
  return {
    report: (event) => {
      const changed = progress.take(event);
      const text = describeEvent(event, options.debug);
      if (text !== undefined) draw(`${visible(text)}\n`);
      else if (changed && (isTurn(event) || options.now() - drawnAt >= FRAME)) draw('');
    },
    say: (text) => {
      draw(`stowage: ${visible(text)}\n`);
    },
    refresh: () => {
      draw('');
    },
    close: () => {
      if (drawn.length > 0) write(erase());
      drawn = [];
    },
  };
}

/** What changes which lines there are is not to wait for the next event. */
function isTurn(event: Event): boolean {
  return event.type !== 'fetch-progress';
}

/** One JSON object a line, every event as it is; what programs say only for debugging. */
export function jsonLogger(write: Write, options: Pick<LoggerOptions, 'debug'>): Logger {
  return {
    report: (event) => {
      if (event.type !== 'tool-output') write(`${JSON.stringify(event)}\n`);
      else if (options.debug) write(`${JSON.stringify({ ...event, line: redact(event.line) })}\n`);
    },
    say: (text) => {
      write(`${JSON.stringify({ type: 'said', text })}\n`);
    },
    refresh: () => undefined,
    close: () => undefined,
  };
}
