// Starts, once for all tests, the services that they use. A service that cannot be had is named, with the tests that do
// not run for it; with CI=true it is an error.

import type { TestProject } from "vitest/node";
import { startPostgres } from "./postgres.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Null: no PostgreSQL could be had, and what needs it does not run. */
    postgresUrl: string | null;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  try {
    const postgres = await startPostgres();
    project.provide("postgresUrl", postgres.url);
    return () => postgres.stop();
  } catch (error) {
    if (process.env["CI"] === "true") throw error;
    console.warn(
      `\nTests on a PostgreSQL server do not run.\n${error instanceof Error ? error.message : String(error)}\n`,
    );
    project.provide("postgresUrl", null);
    return () => Promise.resolve();
  }
}
