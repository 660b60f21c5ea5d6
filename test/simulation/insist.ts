import { TimeoutError } from "@holdfast/core";

/** A caller that gives up waiting and asks again, under the same key, until it is answered. */
export async function insist<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
    }
  }
}
