import { startPgBouncer, type PgBouncerOptions } from "../../../test/services/pgbouncer.ts";
import type { Service } from "../../../test/services/postgres.ts";

/** PgBouncer before the server at `url`. Null, with a word on it, where there is none. */
export async function bouncerBefore(
  url: string | null,
  options: PgBouncerOptions = {},
): Promise<Service | null> {
  if (url === null) return null;
  try {
    return await startPgBouncer(url, { poolSize: 20, ...options });
  } catch (error) {
    if (process.env["CI"] === "true") throw error;
    console.warn(
      `\nTests through PgBouncer do not run.\n${error instanceof Error ? error.message : String(error)}\n`,
    );
    return null;
  }
}
