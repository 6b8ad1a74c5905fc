import type { Report } from '../model/event.ts';
import type { Result } from '../model/result.ts';

/**
 * What must be taken back, in reverse order of how it came to be: once, whatever ends the build. Each step is
 * idempotent and takes no signal, so that a second Ctrl-C does not leave half of it.
 */
export class Undo {
  readonly #steps: { readonly what: string; readonly run: () => Promise<Result<void>> }[] = [];
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  /** Returns a function that does this one step now; it is then not done again. */
  add(what: string, run: () => Promise<Result<void>>): () => Promise<Result<void>> {
    const step = { what, run };
    this.#steps.push(step);
    return async () => {
      if (!this.#steps.includes(step)) return { ok: true, value: undefined };
      const result = await run();
      // Kept until it worked: a failure here is the build's, and the clean-up tries once more.
      const index = this.#steps.indexOf(step);
      if (result.ok && index >= 0) this.#steps.splice(index, 1);
      return result;
    };
  }

  /** Takes everything back. What can't be is reported, and the next build reaps it. */
  async run(): Promise<void> {
    const bugs: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      // A bug in one step must not keep the others from being taken.
      const result = await step.run().catch((error: unknown) => {
        bugs.push(error);
      });
      if (result?.ok === false)
        this.#report({ type: 'undo-failed', what: step.what, failure: result.failure });
    }
    if (bugs.length > 0) throw new AggregateError(bugs, 'clean-up failed');
  }
}
