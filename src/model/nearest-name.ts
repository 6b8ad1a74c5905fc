/** The one of `names` that was probably meant by `given`: at most a third of its letters differ. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    if (Math.abs(name.length - given.length) >= least) continue;
    const distance = editDistance(given.toLowerCase(), name.toLowerCase());
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

/** `; did you mean x?`, or the names there are, or nothing: the end of a phrase about an unknown name. */
export function suggestion(given: string, names: readonly string[]): string {
  const nearest = nearestName(given, names);
  if (nearest !== undefined) return `; did you mean ${nearest}?`;
  if (names.length === 0) return '';
  const shown = names.slice(0, 20);
  return `; there ${names.length === 1 ? 'is' : 'are'} ${shown.join(', ')}${names.length > 20 ? ', …' : ''}`;
}

/** Optimal string alignment: letters added, dropped, changed, or two neighbours swapped. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? at(i - 2, j - 2) + 1 : Infinity;
      row.push(Math.min(at(i - 1, j) + 1, (row[j - 1] ?? 0) + 1, change, swap));
    }
  }
  return at(a.length, b.length);
}
