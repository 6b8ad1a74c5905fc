import { after } from 'node:test';

/**
 * Whoever ends what the rig starts: a test (node:test's context is one), a test file (`fileOwner`), the demo.
 * Everything that starts something takes one, so that nothing is started without an end.
 */
export interface Owner {
  after(end: () => void | Promise<void>): void;
}

type End = () => void | Promise<void>;

const stacks = new WeakMap<Owner, End[]>();

/** Ends in the reverse order of starting (node:test's own hooks run in the order they were given). */
export function atEnd(owner: Owner, end: End): void {
  let stack = stacks.get(owner);
  if (stack === undefined) {
    const ends: End[] = [];
    stacks.set(owner, ends);
    stack = ends;
    owner.after(() => unwind(ends));
  }
  stack.push(end);
}

/** For what all tests of a file share: call it at the top level of the file. */
export function fileOwner(): Owner {
  const ends: End[] = [];
  after(() => unwind(ends));
  const owner: Owner = { after: (end) => void ends.push(end) };
  return owner;
}

/** For a program that is no test: `end` may be called often, and ends everything once. */
export function programOwner(): Owner & { end(): Promise<void> } {
  const ends: End[] = [];
  return {
    after: (end) => void ends.push(end),
    end: () => unwind(ends),
  };
}

/** Runs every end, also after one failed, and throws what failed at last. */
async function unwind(ends: End[]): Promise<void> {
  const errors: unknown[] = [];
  for (let end = ends.pop(); end !== undefined; end = ends.pop()) {
    try {
      await end();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, 'several things could not be ended');
}
