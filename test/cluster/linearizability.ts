// Linearizability of one register: whether its reads and writes can be put into one order that agrees with their times.
//
// Source: Wing and Gong 1993, "Testing and verifying concurrent objects", with the memory of Lowe 2017, "Testing for
// linearizability". A write whose outcome is unknown may take effect at any time after it was invoked, or never.

export interface RegisterOperation {
  readonly kind: "write" | "read";
  /** What was written, or read; null: nothing was written yet. */
  readonly value: number | null;
  readonly invokedAt: number;
  /** Infinity: nobody knows. Left out of the order if that helps. */
  readonly completedAt: number;
}

interface Event {
  readonly operation: number;
  readonly isReturn: boolean;
  previous: Event | null;
  next: Event | null;
}

/** Returns whether there is such an order. */
export function isLinearizable(operations: readonly RegisterOperation[]): boolean {
  const certain = operations.filter(({ completedAt }) => completedAt !== Infinity).length;
  const { head, returns } = eventsOf(operations);
  const done = new Set<number>();
  let left = certain;
  let value: number | null = null;
  const seen = new Set<string>();
  const stack: { readonly event: Event; readonly before: number | null }[] = [];
  let event = head.next;
  while (left > 0) {
    if (event === null) throw new Error("An operation that returned is missing");
    const operation = operations[event.operation];
    if (operation === undefined) throw new Error("An event of no operation");
    if (!event.isReturn) {
      const isPossible = operation.kind === "write" || operation.value === value;
      const after: number | null = operation.kind === "write" ? operation.value : value;
      if (isPossible) {
        done.add(event.operation);
        const state = `${after} ${[...done].toSorted((a, b) => a - b).join(",")}`;
        if (!seen.has(state)) {
          seen.add(state);
          stack.push({ event, before: value });
          value = after;
          lift(event, returns.get(event.operation));
          if (operation.completedAt !== Infinity) left -= 1;
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
    value = last.before;
    done.delete(last.event.operation);
    if (operations[last.event.operation]?.completedAt !== Infinity) left += 1;
    unlift(last.event, returns.get(last.event.operation));
    event = last.event.next;
  }
  return true;
}

/** The invocations and returns in the order of their times, as a list that operations are lifted out of. */
function eventsOf(operations: readonly RegisterOperation[]): {
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
  // A list of unknown writes alone at the end must not end the search.
  last.next = null;
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
