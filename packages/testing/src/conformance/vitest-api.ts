// The suites' way to vitest, which nothing else here needs: createTestCluster and simulate run in a script and under other
// runners, with none installed. So it is taken where a suite is called, and at once, since who calls it defines cases.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type * as Vitest from "vitest";

/** `describe`, `it` and `expect` of the run that calls. */
export function vitest(): Pick<typeof Vitest, "afterEach" | "beforeEach" | "describe" | "expect" | "it"> {
  if (process.env["VITEST"] === undefined)
    throw new Error("A conformance suite defines vitest cases: call it from a test file that vitest runs.");
  // In a pool of VM contexts nothing but import() finds the run's own copy, which vitest keeps here for code that it injects.
  const { __vitest_index__: kept } = globalThis as { readonly __vitest_index__?: typeof Vitest };
  if (kept !== undefined) return kept;
  // The file that import() takes, and took before: vitest has another one for require(), which only refuses.
  return createRequire(import.meta.url)(fileURLToPath(import.meta.resolve("vitest"))) as typeof Vitest;
}
