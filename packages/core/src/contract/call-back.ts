// What code of the user's gives that nobody waits for. A promise that rejects unheard ends the process.

/**
 * Calls back code of the user's whose result nobody waits for. Never throws: `failed` is told what it throws, and what the promise
 * of an async one rejects with.
 */
export function callBack(callback: () => unknown, failed: (error: unknown) => void): void {
  try {
    const returned = callback();
    if (returned instanceof Promise) returned.then(undefined, failed);
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
