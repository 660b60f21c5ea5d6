// A process that writes to PGlite in a folder until it is killed, and tells each id once its reply is durable:
// node pglite-writer.ts <folder> <first id>

import { SystemClock, SystemRandom } from "@holdfast/core/internal";
import { pglite } from "../src/index.ts";
import type { PostgresTransaction } from "../src/postgres-transaction.ts";

const [dataDir = "", firstId = "0"] = process.argv.slice(2);
const { messages } = await pglite({ dataDir }).open({ clock: new SystemClock(), random: new SystemRandom() });
const shardId = "default:1";
const [epoch = 0] = await messages.claimShards([shardId]);
const setup = messages.beginTransaction?.() as PostgresTransaction;
await setup.query("CREATE TABLE IF NOT EXISTS effects (id text PRIMARY KEY)", []);
await setup.commitAfter({ name: "effects", text: "SELECT 1", values: [] });
process.stdout.write("ready\n");

for (let next = Number(firstId); ; next += 10) {
  await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const requestId = String(next + index);
      const address = { entityType: "Counter", entityId: "a", shardId } as const;
      const rest = {
        headers: {},
        persisted: true,
        expects: "reply",
        deduplicationKey: null,
        deliverAt: null,
      } as const;
      const flags = { uninterruptible: false, fromInside: false, readPendingFirst: false, sender: "writer" };
      await messages.saveRequest({ requestId, address, tag: "add", payload: "{}", ...rest, ...flags }, 1, {
        shardId,
        epoch,
      });
      const transaction = index === 0 ? (messages.beginTransaction?.() as PostgresTransaction) : null;
      await transaction?.query("INSERT INTO effects VALUES ($1)", [requestId]);
      await messages.saveReply(
        { requestId, exit: { ok: true, value: "1" } },
        { shardId, epoch },
        transaction,
      );
      process.stdout.write(`${requestId}\n`);
    }),
  );
}
