// Thrown: whatever came out of code of the user's. A proxy, or a class with getters of its own, may throw again at each look.

import { beginningOf } from "./beginning.ts";
import { encodeError } from "./error-codec.ts";

/** So far down its causes an error is looked at. */
const MOST = 8;
/** So much of it the log shows, in characters. */
const MOST_SHOWN = 16_384;

/** What was thrown, where it can be asked what it is and what it says; else an Error that says that it cannot. */
export function readable(thrown: unknown): unknown {
  try {
    if (thrown instanceof Error) void `${thrown.name}: ${thrown.message}`;
    return thrown;
  } catch {
    const { name, message, code } = encodeError(thrown, { exposeStacks: false });
    return Object.assign(new Error(message), { name }, code === null ? {} : { code });
  }
}

/** An error and its causes, the outermost first, as far as they can be asked for. */
export function withCauses(thrown: unknown): readonly Error[] {
  const found: Error[] = [];
  try {
    for (let at = thrown; at instanceof Error && found.length < MOST; at = at.cause) found.push(at);
  } catch {
    // What is further down says nothing.
  }
  return found;
}

/**
 * What the log shows of whatever a user's code threw, also of what is no Error: its stack, or its name and message, as far as a
 * line may go.
 */
export function describeThrown(thrown: unknown): string {
  const { name, message, stack } = encodeError(thrown, { exposeStacks: true });
  return beginningOf(stack ?? `${name}: ${message}`, MOST_SHOWN);
}
