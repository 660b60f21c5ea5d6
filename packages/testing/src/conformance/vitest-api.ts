// The suites' way to vitest. Scripts that use createTestCluster or simulate outside of a test run import this package
// too, with no vitest about them or none installed: so it is loaded only where a run is on.

import type * as Vitest from "vitest";

const loaded: typeof Vitest | undefined =
  process.env["VITEST"] === undefined ? undefined : await import("vitest");

/** `describe`, `it` and `expect` of the run that calls. */
export function vitest(): Pick<typeof Vitest, "afterEach" | "beforeEach" | "describe" | "expect" | "it"> {
  if (loaded === undefined) {
    throw new Error("A conformance suite defines vitest cases: call it from a test file that vitest runs.");
  }
  return loaded;
}
