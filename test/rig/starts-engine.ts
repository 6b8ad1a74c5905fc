import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ENGINES = ['engine.ts', 'podman.ts'].map((name) => join(import.meta.dirname, name));

/** Whether a test has what starts engines, itself or by what it imports; imports of types alone do not count. */
export function startsEngine(file: string, seen = new Set<string>()): boolean {
  if (ENGINES.includes(file)) return true;
  if (seen.has(file) || !existsSync(file)) return false;
  seen.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(
    /^(?:import|export)\s+(?!type\b)[^'"]*?from\s+'(\.[^']+)'/gm,
  );
  return [...imports].some(([, from = '']) => startsEngine(join(dirname(file), from), seen));
}
