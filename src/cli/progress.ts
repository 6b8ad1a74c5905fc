import type { Event } from '../model/event.ts';

/** What is under way: kept from events, asked by the loggers that show it. Sizes are bytes, times milliseconds. */
export interface Progress {
  /** Looks at every event; tells whether it changed what is under way. */
  take(event: Event): boolean;
  /** Images whose download is under way, in the order of their starts. */
  downloads(): readonly Download[];
  /** Everything that is being downloaded in this run; undefined before and after. */
  sum(): Download | undefined;
  /** Names that registries are being asked for. */
  resolving(): readonly string[];
}

export interface Download {
  readonly name: string;
  readonly bytes: number;
  readonly total: number;
  /** Bytes a second over the last `WINDOW`. */
  readonly rate: number;
  /** Undefined where nothing moves. */
  readonly remaining: number | undefined;
}

/** A rate over less jumps with every layer, over more it lags behind a connection that died. */
const WINDOW = 10_000;

export function startProgress(now: () => number): Progress {
  const running = new Map<string, Meter>();
  const resolving = new Set<string>();
  let all: Meter | undefined;
  let finished = 0;
  const addUp = (): void => {
    const bytes = [...running.values()].reduce((sum, meter) => sum + meter.bytes, finished);
    const total = [...running.values()].reduce((sum, meter) => sum + meter.total, finished);
    all ??= new Meter(total, now);
    all.total = Math.max(all.total, total);
    all.add(bytes);
  };
  return {
    take(event) {
      if (event.type === 'resolving') {
        if (event.name !== undefined) resolving.add(event.name);
        return event.name !== undefined;
      }
      if (event.type === 'pinned') return resolving.delete(event.name);
      if (event.type === 'fetch-planned') {
        resolving.clear();
        finished = 0;
        all = event.bytes === 0 ? undefined : new Meter(event.bytes, now);
        return true;
      }
      if (event.type === 'fetched') {
        running.clear();
        all = undefined;
        return true;
      }
      if (event.type === 'fetch-started') running.set(event.image, new Meter(event.bytes, now));
      else if (event.type === 'fetch-progress') {
        const meter = running.get(event.image) ?? new Meter(event.total, now);
        meter.add(event.bytes);
        running.set(event.image, meter);
      } else if (event.type === 'fetch-finished') {
        running.delete(event.image);
        finished += event.bytes;
      } else return false;
      addUp();
      return true;
    },
    downloads: () => [...running].map(([name, meter]) => meter.read(name)),
    sum: () => all?.read('all'),
    resolving: () => [...resolving],
  };
}

class Meter {
  total: number;
  bytes = 0;
  readonly #now: () => number;
  #samples: { readonly at: number; readonly bytes: number }[];

  constructor(total: number, now: () => number) {
    this.total = total;
    this.#now = now;
    this.#samples = [{ at: now(), bytes: 0 }];
  }

  /** Less than before after an attempt that failed: what was incomplete is gone. */
  add(bytes: number): void {
    this.#samples = bytes < this.bytes ? [] : this.#samples;
    this.bytes = bytes;
    this.#samples.push({ at: this.#now(), bytes });
  }

  read(name: string): Download {
    const now = this.#now();
    // One sample older than the window stays: the rate is over all of it.
    while ((this.#samples[1]?.at ?? Infinity) <= now - WINDOW) this.#samples.shift();
    const first = this.#samples[0];
    const elapsed = first === undefined ? 0 : Math.min(now - first.at, WINDOW);
    const rate = elapsed <= 0 ? 0 : ((this.bytes - (first?.bytes ?? 0)) / elapsed) * 1000;
    const { bytes, total } = this;
    const remaining = rate > 0 ? (Math.max(0, total - bytes) / rate) * 1000 : undefined;
    return { name, bytes, total, rate, remaining };
  }
}
