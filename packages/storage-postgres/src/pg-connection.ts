import type { PoolClient } from "pg";

/** Gives a connection back, or ends it at once: also one that does not answer. */
export function end(client: PoolClient, isUsable: boolean): void {
  if (isUsable) {
    client.release();
    return;
  }
  const { connection } = client as unknown as { connection?: { stream?: { destroy?: () => void } } };
  connection?.stream?.destroy?.();
  client.release(true);
}

/** The server process behind a connection. */
export function processIdOf(client: PoolClient): number | null {
  const { processID } = client as unknown as { processID?: unknown };
  return typeof processID === "number" && processID > 0 ? processID : null;
}
