// What the log has of an outage: a line when it begins, few while it goes on, one when it is over, and each request that it left
// in doubt.

import { DeadLetteredError, defineEntity, rpc, type Logger } from "@holdfast/core";
import { createTestCluster, type BackendFaultOptions, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Echo = defineEntity({ name: "Echo", rpcs: { keep: rpc<string, string>({ persisted: true }) } });
const echo = Echo.implement({ keep: (text: string) => text });
const Asker = defineEntity({ name: "Asker", rpcs: { ask: rpc<string, string>() } });
/** Has a runner ask: the storage of the test's own calls never fails. */
const asker = Asker.implement({
  ask: (text, ctx) => ctx.entity(Echo, text).keep("x", { timeout: "10m" }),
});

const NO_STORAGE: BackendFaultOptions = { storageErrorBeforeCommit: 1 };
const NO_LEASES: BackendFaultOptions = { leaseErrorBeforeEffect: 1 };

type Line = { readonly message: string; readonly fields: Readonly<Record<string, unknown>> };

/** A logger, and what it was told by level. */
function listener(): { logger: Logger; lines: Record<keyof Logger, Line[]> } {
  const lines: Record<keyof Logger, Line[]> = { debug: [], info: [], warn: [], error: [] };
  const at =
    (level: keyof Logger): Logger["info"] =>
    (message, fields = {}) =>
      void lines[level].push({ message, fields });
  return { logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, lines };
}

/** How often each message is among them. */
function counted(lines: readonly Line[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { message } of lines) counts[message] = (counts[message] ?? 0) + 1;
  return counts;
}

/** A minute in which three are asked each second to have something kept. */
async function aMinute(cluster: TestCluster): Promise<void> {
  for (let second = 0; second < 60; second += 1) {
    for (let n = 0; n < 3; n += 1) ask(cluster, n);
    await cluster.advance("1s");
  }
}

function ask(cluster: TestCluster, n: number): void {
  cluster
    .entity(Asker, `a${n}`)
    .ask(`e${n}`)
    .catch(() => undefined);
}

describe("the log of a runner", () => {
  it("has few lines of reading in a minute without storage, and one when that is over", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ register: [echo, asker], logger });
    cluster.faults(NO_STORAGE);
    await aMinute(cluster);
    const reads = lines.warn.filter(({ message }) =>
      message.startsWith("Pending requests could not be read"),
    );
    expect(reads.length).toBeLessThanOrEqual(3);
    expect(reads[0]?.fields).toEqual({ error: expect.stringContaining("readPending") });
    expect(reads[1]?.fields).toMatchObject({ lastedMs: expect.any(Number), leftOut: expect.any(Number) });
    expect(lines.info).toEqual([]);
    cluster.faults({});
    await cluster.advance("15s");
    expect(lines.info).toEqual([
      {
        message: "Pending requests are read again",
        fields: { lastedMs: expect.any(Number), leftOut: expect.any(Number) },
      },
    ]);
  });

  it("names each request that ran and could not be stored when that fails first, and when it is given up", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ register: [echo, asker], logger });
    // Found to be brief, it runs ahead of being stored from then on.
    await aMinute(cluster);
    cluster.faults(NO_STORAGE);
    await aMinute(cluster);
    const ofRequests = [...lines.warn, ...lines.debug].filter(({ fields }) => "requestId" in fields);
    const requestIds = new Set(ofRequests.map(({ fields }) => fields["requestId"]));
    expect(requestIds.size).toBeGreaterThan(1);
    for (const requestId of requestIds) {
      const warned = lines.warn.filter(({ fields }) => fields["requestId"] === requestId);
      expect(warned.map(({ message }) => message)).toEqual([
        "A request that runs could not be stored",
        "A request that runs could not be stored, and is not tried again",
      ]);
    }
    // What lies between is there for who wants to see it.
    expect(lines.debug.length).toBeGreaterThan(requestIds.size);
  });

  it("names a request whose reply could not be recorded, with fewer lines than there are tries", async () => {
    const { logger, lines } = listener();
    const { promise, resolve } = Promise.withResolvers<string>();
    const slow = Echo.implement({ keep: () => promise });
    await using cluster = await createTestCluster({ register: [slow], logger });
    const kept = cluster.entity(Echo, "e").keep("x");
    await cluster.advance("1s");
    cluster.faults(NO_STORAGE);
    resolve("kept");
    await cluster.advance("60s");
    const replies = (level: "warn" | "debug"): number =>
      lines[level].filter(({ message }) => message === "A reply could not be recorded").length;
    expect(replies("warn")).toBeGreaterThan(1);
    expect(replies("warn")).toBeLessThan(replies("debug"));
    cluster.faults({});
    await cluster.advance("15s");
    await expect(kept).resolves.toBe("kept");
  });

  it("has few lines of lease and members in a minute without the lease store, and one each when it is over", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ register: [echo], logger });
    cluster.faults(NO_LEASES);
    await cluster.advance("60s");
    const warned = counted(lines.warn);
    expect(warned["The lease is lost; joining again under a new identity"]).toBe(1);
    // Once when it begins, and once while it goes on.
    expect(warned["Joining again failed"]).toBe(2);
    expect(lines.warn.length).toBeLessThanOrEqual(8);
    cluster.faults({});
    await cluster.advance("30s");
    expect(counted(lines.info)).toEqual({
      "The lease is held and refreshed again": 1,
      "The members are listed again": 1,
    });
  });

  it("has few lines of shards that cannot be claimed while storage is away", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ runners: 2, register: [echo], logger });
    cluster.faults(NO_STORAGE);
    await cluster.crash(0);
    await cluster.advance("100s");
    const claims = "Shards could not be claimed; trying again";
    expect(counted(lines.warn)[claims]).toBeLessThanOrEqual(3);
    cluster.faults({});
    await cluster.advance("15s");
    expect(counted(lines.info)["No shard is left that could not be claimed"]).toBe(1);
    expect(cluster.runners[1]?.shardsOwned).toBe(300);
  });

  it("has few lines of shards that cannot be freed while the lease store is away, and one when they are", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ runners: 2, register: [echo], logger });
    await cluster.crash(1);
    await cluster.advance("60s");
    // Its lease is held throughout.
    cluster.revive(1);
    await cluster.advance("500ms");
    cluster.faults(NO_LEASES, [0]);
    await cluster.advance("15s");
    expect(counted(lines.warn)["Shards could not be freed; trying again"]).toBe(1);
    const over = "No shard is left that could not be freed";
    expect(counted(lines.info)[over]).toBeUndefined();
    cluster.faults({}, [0]);
    await cluster.advance("15s");
    expect(counted(lines.info)[over]).toBe(1);
    expect(cluster.runners.map(({ shardsOwned }) => shardsOwned)).toEqual([150, 150]);
  });

  it("has few lines of replies that cannot be looked up while storage is away", async () => {
    const { logger, lines } = listener();
    await using cluster = await createTestCluster({ runners: 2, register: [echo, asker], logger });
    // What one asks of the other goes by storage, and is answered there once storage is back.
    cluster.partition([0], [1]);
    await cluster.advance("10s");
    for (let n = 0; n < 20; n += 1) ask(cluster, n);
    await cluster.advance("1ms");
    cluster.faults(NO_STORAGE);
    await cluster.advance("60s");
    expect(
      counted(lines.warn)["Replies could not be looked up; the next poll tries again"],
    ).toBeLessThanOrEqual(4);
    cluster.faults({});
    await cluster.advance("15s");
    expect(counted(lines.info)).toMatchObject({ "No reply is left that could not be looked up": 2 });
  });

  it("names a dead letter that could not be recorded, with fewer lines than there are tries", async () => {
    const { logger, lines } = listener();
    const { promise, reject } = Promise.withResolvers<string>();
    const failing = Echo.implement({ keep: () => promise });
    await using cluster = await createTestCluster({
      register: [failing],
      logger,
      storageMessageMaxRetries: 0,
    });
    const kept = cluster.entity(Echo, "e").keep("x");
    const outcome = expect(kept).rejects.toThrow(DeadLetteredError);
    await cluster.advance("1s");
    cluster.faults(NO_STORAGE);
    reject(Object.assign(new Error("not now"), { retryable: true }));
    await cluster.advance("60s");
    const letters = (level: "warn" | "debug"): number =>
      lines[level].filter(({ message }) => message === "A dead letter could not be recorded").length;
    expect(letters("warn")).toBeGreaterThan(1);
    expect(letters("warn")).toBeLessThan(letters("debug"));
    cluster.faults({});
    await cluster.advance("15s");
    await outcome;
  });
});
