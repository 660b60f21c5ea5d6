/**
 * Of a promise that a workflow's code is given and need not await, such as a deadline for later or the loser of a race: that it
 * fails must not end the process, nor the next one, which replays it.
 */
export function unattended<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(nothing);
  return promise;
}

function nothing(): void {
  // Who awaits it is told.
}
