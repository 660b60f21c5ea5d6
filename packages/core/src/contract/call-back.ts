// What code of the user's gives that nobody waits for. A promise that rejects unheard ends the process.

import { types } from "node:util";

/**
 * Calls back code of the user's whose result nobody waits for. Never throws: `failed` is told what it throws, and what the promise
 * of an async one rejects with.
 */
export function callBack(callback: () => unknown, failed: (error: unknown) => void): void {
  try {
    const returned = callback();
    // Not its own `then`: a query of postgres.js, which is a Promise, would run for that, and nobody awaited it.
    if (types.isPromise(returned)) void Promise.prototype.then.call(returned, undefined, failed);
  } catch (error) {
    failed(error);
  }
}

/** Of what an async function gave where no promise is taken: that is what is wrong, whatever it rejects with. */
export function disregard(given: unknown): void {
  callBack(
    () => given,
    () => undefined,
  );
}

/** And of all promises in it: an `ids.map(async ...)` without `Promise.all` may reject with each. */
export function disregardAll(refused: unknown): void {
  try {
    const found = new Set([refused]);
    for (const each of found) {
      disregard(each);
      for (const part of partsOf(each)) found.add(part);
    }
  } catch {
    // What cannot be looked into is refused all the same.
  }
}

function partsOf(value: unknown): Iterable<unknown> {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value) || value instanceof Set) return value;
  if (value instanceof Map) return [...value].flat();
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.values(value) : [];
}
