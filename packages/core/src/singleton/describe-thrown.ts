import { encodeError } from "../contract/error-codec.ts";

/** What the log shows of whatever a user's code threw, also of what is no Error: its stack, or its name and message. */
export function describeThrown(thrown: unknown): string {
  const { name, message, stack } = encodeError(thrown, { exposeStacks: true });
  return stack ?? `${name}: ${message}`;
}
