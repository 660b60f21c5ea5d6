// Built: whether a process of its own can run the packages as users get them.

import { existsSync } from "node:fs";

export interface Packages {
  /** What a report says of them. */
  readonly what: "the built packages" | "the sources";
  /** What Node is told to find them. */
  readonly conditions: readonly string[];
}

/** As built, if all are: sources bring the stripping of types along, which no user has. */
export function packagesToRun(names: readonly string[]): Packages {
  return names.every((name) => existsSync(new URL(`../../packages/${name}/dist/index.js`, import.meta.url)))
    ? { what: "the built packages", conditions: [] }
    : { what: "the sources", conditions: ["--conditions=@holdfast/source"] };
}
