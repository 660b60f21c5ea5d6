// Requests that are sent again, or of which a copy comes late, while their shard leaves and comes back, or their mailbox is full.

import { defineEntity, rpc } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door } from "./tampering.ts";

const Clerk = defineEntity({
  name: "Clerk",
  rpcs: { file: rpc<void, void>({ persisted: true }), ask: rpc<string, string>() },
});

/** Two runners, of which the second is down, and what the clerks were asked. */
async function office(seed: number): Promise<{
  cluster: TestCluster;
  asked: Map<string, number>;
  [Symbol.asyncDispose]: () => Promise<void>;
}> {
  const asked = new Map<string, number>();
  const cluster: TestCluster = await createTestCluster({
    runners: 2,
    seed,
    shardRebalanceDebounce: "200ms",
    register: [
      Clerk.implement({
        file: () => cluster.sleep(300),
        ask(what) {
          asked.set(what, (asked.get(what) ?? 0) + 1);
          return what;
        },
      }),
    ],
  });
  void cluster.runners[1]?.shutdown();
  await cluster.advance("5s");
  return { cluster, asked, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

describe("a volatile request", () => {
  it("that was queued when its shard left runs when it is sent to the same runner again", async () => {
    for (let seed = 1; seed <= 8; seed += 1) {
      await using test = await office(seed);
      const { cluster, asked } = test;
      const clerks = Array.from({ length: 30 }, (_, index) => cluster.entity(Clerk, `${index}`));
      cluster.revive(1);
      // Somewhere around the moment at which the second one takes its shards.
      await cluster.advance(`${100 + seed * 20}ms`);
      const filed = clerks.map((clerk) => clerk.file());
      const answers = Promise.allSettled(clerks.map((clerk, index) => clerk.ask(`${index}`)));
      await cluster.advance("150ms");
      // What moves to the other runner now comes back as soon as that one leaves.
      void cluster.runners[1]?.shutdown();
      await cluster.advance("1 minute");
      await Promise.all(filed);
      expect((await answers).filter(({ status }) => status === "rejected")).toEqual([]);
      expect([...asked.values()]).toEqual(clerks.map(() => 1));
    }
  });

  it("of which a copy comes when its shard has left runs once", async () => {
    for (let seed = 1; seed <= 5; seed += 1) {
      await using test = await office(seed);
      const { cluster, asked } = test;
      cluster.revive(1);
      await cluster.advance("5s");
      cluster.faults({ duplicate: 1, delay: ["0ms", "120ms"] });
      const answers: Promise<unknown>[] = [];
      for (let round = 0; round < 20; round += 1) {
        if (round === 10) void cluster.runners[1]?.shutdown();
        for (let index = 0; index < 10; index += 1)
          answers.push(
            cluster
              .entity(Clerk, `${index}`)
              .ask(`${round}/${index}`)
              .catch(() => undefined),
          );
        await cluster.advance("10ms");
      }
      cluster.faults({});
      await cluster.advance("1 minute");
      await Promise.all(answers);
      expect([...asked].filter(([, times]) => times > 1)).toEqual([]);
    }
  });

  it("whose shard leaves while its input is parsed runs where the shard goes", async () => {
    const parsing = new Door();
    const input = z.string().refine(() => parsing.passed().then(() => true));
    const Parser = defineEntity({ name: "Parser", rpcs: { ask: rpc({ input }) } });
    const Plain = defineEntity({ name: "Parser", rpcs: { ask: rpc<string, void>() } });
    let made = 0;
    const parser = Parser.implement(() => {
      made += 1;
      return { ask: () => undefined };
    });
    await using cluster = await createTestCluster({ runners: 2, register: [parser] });
    await cluster.crash(1);
    await cluster.advance("1 minute");
    const ids = Array.from({ length: 20 }, (_, index) => `${index}`);
    const askAll = () => Promise.all(ids.map((id) => cluster.entity(Plain, id).ask(id)));
    parsing.close();
    const asked = askAll();
    await cluster.advance("50ms");
    const restarted = cluster.restart(1);
    await cluster.advance("10s");
    parsing.open();
    await cluster.advance("5s");
    await asked;
    await askAll();
    expect(made, "each of them in one place").toBe(ids.length);
    await restarted;
  });
});

describe("a persisted request", () => {
  it("of which a copy comes when there is room did not run where its caller was told that there was none", async () => {
    const Till = defineEntity({
      name: "Till",
      mailboxCapacity: 1,
      rpcs: { pay: rpc<string, void>({ persisted: true }) },
    });
    for (let seed = 1; seed <= 5; seed += 1) {
      const paid = new Set<string>();
      await using cluster: TestCluster = await createTestCluster({
        runners: 1,
        seed,
        register: [
          Till.implement({
            async pay(what) {
              paid.add(what);
              await cluster.sleep(30);
            },
          }),
        ],
      });
      cluster.faults({ duplicate: 1, delay: ["0ms", "120ms"] });
      const refused: string[] = [];
      for (let n = 0; n < 40; n += 1) {
        cluster
          .entity(Till, "a")
          .pay(`${n}`)
          .catch(() => refused.push(`${n}`));
        await cluster.advance("20ms");
      }
      cluster.faults({});
      await cluster.advance("1 minute");
      expect(refused).not.toEqual([]);
      expect(refused.filter((what) => paid.has(what))).toEqual([]);
    }
  });

  it("is refused under the sending that was refused, so that a copy of that says nothing of the next one", async () => {
    await using cluster = await createTestCluster({ runners: 1, register: [] });
    const answers: unknown[] = [];
    const envelope = {
      requestId: "1",
      address: { entityType: "Nobody", entityId: "a", shardId: "default:0" as const },
      tag: "pay",
      payload: "1",
      headers: {},
      persisted: true,
      expects: "reply" as const,
      deduplicationKey: null,
      deliverAt: null,
      uninterruptible: false,
      fromInside: false,
      sender: "sender",
      readPendingFirst: false,
    };
    for (const sending of [0, 3])
      cluster.runners[0]?.member.parts.host.receive(
        { type: "request", envelope, sending },
        "a peer",
        (message) => answers.push(message),
      );
    const refused = { type: "rejected", requestId: "1", code: "UNKNOWN_ENTITY" };
    expect(answers).toMatchObject([
      { ...refused, sending: 0 },
      { ...refused, sending: 3 },
    ]);
  });
});
