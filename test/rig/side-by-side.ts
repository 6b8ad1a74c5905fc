import { run } from 'node:test';

/** What node:test tells of a run, as far as it is looked at here. */
export interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly nesting?: number;
    readonly file?: string;
    readonly message?: string;
    readonly skip?: boolean | string;
    readonly details?: { readonly type?: string };
  };
}

export interface SideBySide {
  readonly concurrency: number;
  /** Milliseconds for one file. */
  readonly timeout: number;
  /** Of files that have a kind in common one runs at a time. */
  readonly kindsOf: (file: string) => readonly string[];
}

/** A file whose tests run, or have run. */
interface Started {
  readonly file: string;
  readonly kinds: readonly string[];
  readonly began: number;
  /** What was told and has not been passed on. */
  readonly told: TestEvent[];
  /** Once there is more of it. */
  wake: () => void;
  /** Milliseconds, once it has ended. */
  took?: number;
  error?: unknown;
}

/**
 * Runs files of tests, each in a process of its own as ever, and tells of one after the other, in the order in which
 * they were started: of the first at once, of those beside it when it has ended. Whatever has a kind is started first,
 * so that the others fill what is left beside it. Node's own concurrency knows no kinds.
 */
export async function* sideBySide(
  files: readonly string[],
  options: SideBySide,
  ended: (file: string, milliseconds: number) => TestEvent[],
): AsyncGenerator<TestEvent> {
  const waiting = files.map((file) => ({ file, kinds: options.kindsOf(file) }));
  const running = new Set<Started>();
  const toTell: Started[] = [];
  const startWhatMay = (): void => {
    while (running.size < options.concurrency) {
      const busy = new Set([...running].flatMap(({ kinds }) => kinds));
      const may = waiting.filter(({ kinds }) => !kinds.some((kind) => busy.has(kind)));
      const next = may.find(({ kinds }) => kinds.length > 0) ?? may[0];
      if (next === undefined) return;
      waiting.splice(waiting.indexOf(next), 1);
      const started: Started = { ...next, began: Date.now(), told: [], wake: () => undefined };
      running.add(started);
      toTell.push(started);
      void listen(started);
    }
  };
  const listen = async (started: Started): Promise<void> => {
    try {
      const events = run({ files: [started.file], concurrency: 1, timeout: options.timeout });
      for await (const event of events as AsyncIterable<TestEvent>) {
        started.told.push(event);
        started.wake();
      }
    } catch (error) {
      started.error = error;
    }
    running.delete(started);
    startWhatMay();
    started.took = Date.now() - started.began;
    started.wake();
  };
  startWhatMay();
  for (let first = toTell.shift(); first !== undefined; first = toTell.shift()) {
    const one = first;
    for (;;) {
      const event = one.told.shift();
      if (event !== undefined) yield event;
      else if (one.took === undefined) await new Promise<void>((resolve) => (one.wake = resolve));
      else break;
    }
    if (one.error !== undefined)
      throw new Error(`the tests of ${one.file} could not be run`, { cause: one.error });
    yield* ended(one.file, one.took);
  }
}
