// A write that reaches the server after a later one: it was sent on a connection that was lost, and the server was out of reach
// for who wanted to end its process.

import { PersistenceError } from "@holdfast/core/adapter";
import { expect, inject, it, onTestFinished } from "vitest";
import { CuttingProxy } from "../../../test/services/cutting-proxy.ts";
import { postgres } from "../src/index.ts";
import { serverBackend, services } from "./backends.ts";
import { claim, request } from "./work.ts";

const url = inject("postgresUrl") ?? "";
const FAR_FUTURE_MS = 8.64e15;

it.each(["pg", "postgres.js"] as const)(
  "does not put off a request again that was made due since, through %s",
  async (driver) => {
    await using proxy = await CuttingProxy.start(url);
    const backend = serverBackend(url);
    onTestFinished(() => backend.dispose());
    const storage = postgres({
      driver,
      connectionString: proxy.url,
      schema: backend.schema,
      statementDeadline: "1s",
    });
    const session = await storage.open(services());
    onTestFinished(() => session.close());
    const { messages } = session;
    const fence = await claim(messages);
    const envelope = request();
    const { requestId } = envelope;
    await messages.saveRequest(envelope, 1, fence);

    proxy.cutAt({ needle: "write_attempts_v", reaches: "none", isTold: false });
    proxy.blackHoleAt = "pg_terminate_backend";
    const puttingOff = messages.reschedule(requestId, { deliverAt: FAR_FUTURE_MS, attempts: 1 }, fence);
    await expect(puttingOff).rejects.toMatchObject({ outcome: "unknown" });
    // Nothing passes it while it may still come.
    const early = messages.reschedule(requestId, { deliverAt: null, attempts: 1 }, fence);
    await expect(early).rejects.toBeInstanceOf(PersistenceError);
    proxy.blackHoleAt = null;
    proxy.mode = "open";
    await messages.reschedule(requestId, { deliverAt: null, attempts: 1 }, fence);
    await proxy.deliverLate();
    const { requests } = await messages.readPending({
      shardIds: [fence.shardId],
      now: Date.now(),
      limit: 1,
      excludingSequences: [],
      excludingEntities: [],
    });
    expect(requests.map((each) => each.envelope.requestId)).toEqual([requestId]);
  },
  60_000,
);
