// Waker: a client of the cluster in a process of its own, which sends a persisted request whenever its parent says so, and
// says when it did: by the system's monotonic clock, which all processes of a machine have in common.

import { createCluster } from "@holdfast/core";
import { postgres } from "@holdfast/storage-postgres";
import { grpc } from "@holdfast/transport-grpc";
import { Wakened } from "./wakened.ts";

const [connectionString = ""] = process.argv.slice(2);
process.on("disconnect", () => process.exit());
const client = await createCluster({
  role: "client",
  storage: postgres({ connectionString }),
  transport: grpc(),
});
await client.start();
const entity = client.entity(Wakened, "one");
process.on("message", (number: number) => {
  const at = process.hrtime.bigint();
  void entity.wake.notify(number);
  process.send?.({ number, at: String(at) });
});
process.send?.("ready");
