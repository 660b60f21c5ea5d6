// Linearizability: whether operations on one object can be put into one order that agrees with their times and with a model
// of the object.
//
// Source: Wing and Gong 1993, "Testing and verifying concurrent objects", with the memory of Lowe 2017, "Testing for
// linearizability". An operation whose outcome is unknown may take effect at any time after it was invoked, or never.

import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "@holdfast/core/adapter";
import { Violation } from "../simulation/violation.ts";

/** What an object does when nobody else uses it. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /** What it answers in this state, and the state after. Changes nothing. */
  apply(state: State, input: Input): { readonly state: State; readonly output: Output };
}

/** One operation as a client saw it. Times are milliseconds of one clock. */
export interface Operation<Input, Output> {
  readonly input: Input;
  /** Of one whose outcome is unknown: anything. */
  readonly output: Output;
  readonly invokedAt: number;
  /** Infinity: nobody knows how it ended. Left out of the order if that helps. */
  readonly completedAt: number;
}

/**
 * Checks one object's operations. Objects are independent: check each by itself, and the search stays short.
 *
 * @param object for the message
 * @throws {Violation} "linearizable"
 * @throws {ConfigError} an operation ended before it began
 */
export function checkLinearizable<State, Input, Output>(
  object: string,
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): void {
  if (isLinearizable(model, operations)) return;
  const lines = operations
    .toSorted((a, b) => a.invokedAt - b.invokedAt)
    .map(({ input, output, invokedAt, completedAt }) => {
      const told = completedAt === Infinity ? "unknown" : JSON.stringify(output);
      return `  ${invokedAt} to ${completedAt}: ${JSON.stringify(input)} gave ${told}`;
    });
  throw new Violation("linearizable", `no order explains what ${object} answered:\n${lines.join("\n")}`);
}

/** Returns whether there is such an order. States and outputs are plain data. @throws {ConfigError} as `checkLinearizable` */
export function isLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): boolean {
  checkTimes(operations);
  const { head, returns } = eventsOf(operations);
  const done = new Done(operations.length);
  let left = operations.filter(({ completedAt }) => completedAt !== Infinity).length;
  let state = model.initial;
  const seen = new Set<string>();
  const stack: { readonly call: Event; readonly before: State }[] = [];
  let event = head.next;
  while (left > 0) {
    if (event === null) throw new Error("An operation that returned is missing");
    const operation = operations[event.operation];
    if (operation === undefined) throw new Error("An event of no operation");
    const isKnown = operation.completedAt !== Infinity;
    if (!event.isReturn) {
      const after = model.apply(state, operation.input);
      if (!isKnown || isDeepStrictEqual(after.output, operation.output)) {
        done.add(event.operation);
        const reached = `${JSON.stringify(after.state)} ${done.key()}`;
        if (!seen.has(reached)) {
          seen.add(reached);
          stack.push({ call: event, before: state });
          state = after.state;
          lift(event, returns.get(event.operation));
          if (isKnown) left -= 1;
          event = head.next;
          continue;
        }
        done.delete(event.operation);
      }
      event = event.next;
      continue;
    }
    // What returned here must come before: the last choice was wrong.
    const last = stack.pop();
    if (last === undefined) return false;
    state = last.before;
    done.delete(last.call.operation);
    if (operations[last.call.operation]?.completedAt !== Infinity) left += 1;
    unlift(last.call, returns.get(last.call.operation));
    event = last.call.next;
  }
  return true;
}

/** Without them the search has no order to go by: it would say that no order explains what was answered. */
function checkTimes(
  operations: readonly Pick<Operation<unknown, unknown>, "invokedAt" | "completedAt">[],
): void {
  const index = operations.findIndex(({ invokedAt, completedAt }) => !(invokedAt <= completedAt));
  const found = operations[index];
  if (found === undefined) return;
  throw new ConfigError({
    option: `operations[${index}]`,
    got: `${found.invokedAt} to ${found.completedAt}`,
    takes: "numbers for invokedAt and completedAt, the latter not before the former",
  });
}

/** Which operations have their place, as bits. */
class Done {
  readonly #bits: Uint16Array;

  constructor(count: number) {
    this.#bits = new Uint16Array(Math.ceil(count / 16));
  }

  add(operation: number): void {
    this.#bits[operation >> 4] = this.#word(operation) | (1 << (operation & 15));
  }

  delete(operation: number): void {
    this.#bits[operation >> 4] = this.#word(operation) & ~(1 << (operation & 15));
  }

  key(): string {
    return String.fromCharCode(...this.#bits);
  }

  #word(operation: number): number {
    return this.#bits[operation >> 4] ?? 0;
  }
}

interface Event {
  readonly operation: number;
  readonly isReturn: boolean;
  previous: Event | null;
  next: Event | null;
}

/** The invocations and returns in the order of their times, as a list that operations are lifted out of. */
function eventsOf(operations: readonly Pick<Operation<unknown, unknown>, "invokedAt" | "completedAt">[]): {
  head: Event;
  returns: ReadonlyMap<number, Event>;
} {
  const times = operations.flatMap(({ invokedAt, completedAt }, operation) => [
    { operation, isReturn: false, at: invokedAt },
    ...(completedAt === Infinity ? [] : [{ operation, isReturn: true, at: completedAt }]),
  ]);
  const head: Event = { operation: -1, isReturn: false, previous: null, next: null };
  const returns = new Map<number, Event>();
  let last = head;
  // Of the same moment, invocations first: they may overlap.
  for (const { operation, isReturn } of times.toSorted(
    (a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn),
  )) {
    const event: Event = { operation, isReturn, previous: last, next: null };
    last.next = event;
    last = event;
    if (isReturn) returns.set(operation, event);
  }
  return { head, returns };
}

function lift(call: Event, end: Event | undefined): void {
  for (const event of [call, end]) {
    if (event === undefined) continue;
    if (event.previous !== null) event.previous.next = event.next;
    if (event.next !== null) event.next.previous = event.previous;
  }
}

function unlift(call: Event, end: Event | undefined): void {
  for (const event of [end, call]) {
    if (event === undefined) continue;
    if (event.previous !== null) event.previous.next = event;
    if (event.next !== null) event.next.previous = event;
  }
}
