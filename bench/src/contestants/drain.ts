// Drain: a client stores messages while no runner serves them; then one starts, and is timed from there to the last of them.

import { createCluster, defineEntity, rpc } from "@holdfast/core";
import { postgres } from "@holdfast/storage-postgres";
import type { Workload } from "../contestant.ts";
import { PAYLOAD } from "../definitions.ts";

const MESSAGES = 10_000;
const ENTITIES = 1_000;
const IN_FLIGHT = 500;

const Stored = defineEntity({
  name: "Stored",
  mailboxCapacity: MESSAGES,
  rpcs: { take: rpc<string, void>({ persisted: true }) },
});

/** @param connectionString of a database in which it has a schema of its own, since no other runner may take the messages */
export function drain(connectionString: string): Workload {
  const storage = () => postgres({ connectionString, schema: "holdfast_drain" });
  return {
    kind: "batch",
    async run() {
      await fill(storage());
      let left = MESSAGES;
      const { promise: drained, resolve: last } = Promise.withResolvers<void>();
      const stored = Stored.implement({
        take() {
          left -= 1;
          if (left === 0) last();
        },
      });
      await using runner = await createCluster({
        storage: storage(),
        register: [stored],
        shardRebalanceDebounce: 0,
      });
      const from = performance.now();
      await runner.start();
      await drained;
      return { units: MESSAGES, ms: performance.now() - from };
    },
  };
}

async function fill(storage: ReturnType<typeof postgres>): Promise<void> {
  // There is nobody to send to: without a second try a message is stored at once.
  await using client = await createCluster({ role: "client", storage, sendRetryCount: 0 });
  await client.start();
  let next = 0;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next < MESSAGES) await client.entity(Stored, `s${next++ % ENTITIES}`).take.notify(PAYLOAD);
    }),
  );
}
