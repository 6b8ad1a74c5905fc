import { formatBytes } from '../report/describe-failure.ts';
import { formatDuration, formatPercent } from './describe-event.ts';
import type { Download, Progress } from './progress.ts';

/** A terminal's size in characters, as it is at this moment. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
}

/** More lines than these push away what was said before. */
const MOST_LINES = 8;
const NAME = 22;
const BAR = 20;

/** The lines at a terminal's foot: one for each download, one for all; none where nothing is under way. */
export function progressLines(progress: Progress, screen: Screen): readonly string[] {
  const width = Math.max(10, screen.columns - 1);
  const resolving = progress.resolving();
  const asking =
    resolving.length === 0 ? [] : [shorten(`resolving ${resolving.join(', ')}`, width)];
  const sum = progress.sum();
  if (sum === undefined) return asking;
  const downloads = progress.downloads();
  const room = Math.max(0, Math.min(MOST_LINES, screen.rows - 3));
  const shown = downloads.length > room ? downloads.slice(0, Math.max(0, room - 1)) : downloads;
  const hidden = downloads.length - shown.length;
  const names = Math.min(
    NAME,
    Math.max(3, ...shown.map(({ name }) => name.length)),
    Math.floor(width / 3),
  );
  return [
    ...asking,
    ...shown.map((download) => line(download, names, width)),
    ...(hidden === 0 || room === 0 ? [] : [shorten(`and ${hidden} more`, width)]),
    line(sum, names, width),
  ];
}

function line(download: Download, names: number, width: number): string {
  const { name, bytes, total, rate, remaining } = download;
  const label = shorten(name, names).padEnd(names);
  const percent = formatPercent(bytes, total).padStart(5);
  const amount = `${formatBytes(bytes)} of ${formatBytes(total)}`.padStart(18);
  const speed = `${formatBytes(rate)}/s`.padStart(10);
  const left = remaining === undefined ? '' : formatDuration(remaining).padStart(8);
  const figures = `${percent}  ${amount}  ${speed}  ${left}`.trimEnd();
  // A bar is nice to have; the figures are what is asked for.
  const room = Math.min(BAR, width - label.length - 52);
  if (room >= 6) return `${label}  ${bar(bytes, total, room)}  ${figures}`;
  return shorten(`${label}  ${figures}`, width);
}

function bar(bytes: number, total: number, width: number): string {
  const filled = total === 0 ? width : Math.min(width, Math.floor((bytes / total) * width));
  return `${'#'.repeat(filled)}${'-'.repeat(width - filled)}`;
}

function shorten(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width
    ? text
    : `${characters.slice(0, Math.max(0, width - 3)).join('')}...`;
}
