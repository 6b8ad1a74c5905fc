const ARROW = ' → ';

interface Row {
  readonly name: string;
  readonly before: string;
  readonly now: string;
}

/**
 * A table of what `moved` (plan/compare-pins.ts) tells, such as `core: 2026.8.3 sha256:… → sha256:…`: what, as it is
 * pinned, as it is now.
 */
export function movesTable(moves: readonly string[]): string {
  const rows = [{ name: 'what', before: 'pinned', now: 'now' }, ...moves.map(rowOf)];
  const width = (column: keyof Row): number =>
    Math.max(...rows.map((row) => Array.from(row[column]).length));
  const [name, before] = [width('name'), width('before')];
  return rows
    .map((row) =>
      `${row.name.padEnd(name)}  ${row.before.padEnd(before)}  ${row.now}`.trimEnd().concat('\n'),
    )
    .join('');
}

function rowOf(move: string): Row {
  const colon = move.indexOf(': ');
  const [name, change] = [move.slice(0, colon), move.slice(colon + 2)];
  if (change === 'added') return { name, before: '-', now: 'added' };
  if (change === 'removed') return { name, before: 'removed', now: '-' };
  const [before = '', now] = change.split(ARROW);
  return now === undefined ? { name, before: '', now: change } : { name, before, now };
}
