// What a call that a handler made, and that failed, looks like to who called the handler.

import {
  activity,
  type ActivityContext,
  defineEntity,
  defineWorkflow,
  MailboxFullError,
  rpc,
  UnknownEntityError,
  WorkflowCancelledError,
  type HandlerContext,
} from "@holdfast/core";
import { transactionScopeOf } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { notWritten, tampering } from "./tampering.ts";

const Slow = defineEntity({
  name: "Slow",
  mailboxCapacity: 1,
  rpcs: { take: rpc<void, void>(), keep: rpc<void, void>({ persisted: true, uninterruptible: true }) },
});
const slow = Slow.implement({
  take: () => new Promise<void>(() => undefined),
  keep: () => new Promise<void>(() => undefined),
});
const Mail = defineEntity({ name: "Mail", concurrency: 0, rpcs: { send: rpc<void, void>() } });
const Work = defineWorkflow<string, unknown>({ name: "Work", key: (id) => id, hashKey: false });

/** Sends a mail, and then asks an entity that has no room. */
const mail = (sent: string[]) =>
  Mail.implement({
    async send(_input: void, ctx: HandlerContext) {
      sent.push("mail");
      await ctx.entity(Slow, "full").take();
    },
  });

describe("a handler that lets an error of the library's through that may be repeated", () => {
  it("has answered: neither a workflow nor a caller takes that for its own call's", async () => {
    const sent: string[] = [];
    const work = Work.implement({
      execute: (ctx) =>
        ctx
          .entity(Mail, "m")
          .send()
          .catch((error: unknown) => [
            error instanceof MailboxFullError,
            (error as MailboxFullError).retryable,
          ]),
    });
    await using cluster = await createTestCluster({ register: [slow, mail(sent), work] });
    for (let n = 0; n < 3; n += 1)
      void cluster
        .entity(Slow, "full")
        .take()
        .catch(() => undefined);
    await cluster.advance("1s");
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1 minute");
    expect(await handle.poll()).toEqual([true, false]);
    expect(sent).toEqual(["mail"]);
    await expect(cluster.entity(Mail, "m").send()).rejects.toMatchObject({
      code: "MAILBOX_FULL",
      retryable: false,
    });
    // Its own call was not accepted, and may be made again.
    await expect(cluster.entity(Slow, "full").take()).rejects.toMatchObject({ retryable: true });
  });
});

describe("a handler that lets another one's failure of storage through", () => {
  const Ledger = defineEntity({
    name: "Ledger",
    rpcs: { book: rpc<void, void>(), list: rpc<void, string>({ stream: true }) },
  });
  const ledger = Ledger.implement({
    book() {
      throw notWritten("what another asked for");
    },
    // eslint-disable-next-line require-yield
    async *list() {
      throw notWritten("what another asked for");
    },
  });
  const calls: readonly [string, (inside: HandlerContext | ActivityContext) => Promise<unknown>][] = [
    ["a reply", (inside) => inside.entity(Ledger, "main").book()],
    [
      "the end of a stream",
      async (inside) => {
        for await (const line of inside.entity(Ledger, "main").list()) expect(line).toBeUndefined();
      },
    ],
  ];

  it.each(calls)("that is %s has failed: it is not attempted again", async (_what, ask) => {
    let begun = 0;
    const Desk = defineEntity({ name: "Desk", rpcs: { write: rpc<void, void>({ persisted: true }) } });
    const desk = Desk.implement({
      async write(_input, ctx) {
        begun += 1;
        await ask(ctx);
      },
    });
    await using cluster = await createTestCluster({ register: [ledger, desk] });
    const written = cluster.entity(Desk, "a").write();
    await expect(written).rejects.toMatchObject({ name: "PersistenceError", retryable: false });
    expect(begun).toBe(1);
  });

  it.each(calls)(
    "that is %s fails an activity that has begun a transaction, and not its copy of the execution",
    async (_what, ask) => {
      const attempts: number[] = [];
      const work = Work.implement({
        activities: {
          write: activity({ retries: 1 }, async (inside) => {
            attempts.push(inside.attempt);
            transactionScopeOf(inside, "test").open("test");
            await ask(inside);
          }),
        },
        execute: (ctx) => ctx.activities.write().catch((error: unknown) => (error as Error).name),
      });
      await using cluster = await createTestCluster({
        register: [ledger, work],
        tamper: tampering(() => ({
          messages: {
            beginTransaction: () => ({ kind: "test", lostWith: null, rollback: async () => undefined }),
          },
        })),
      });
      const handle = await cluster.workflow(Work).start("1");
      await cluster.advance("1 minute");
      expect(await handle.poll()).toBe("PersistenceError");
      expect(attempts).toEqual([1, 2]);
    },
  );
});

describe("a dead letter of a workflow's call", () => {
  it("is joined once it was requeued and the workflow is resumed: it takes effect once", async () => {
    let isBroken = true;
    const paid: string[] = [];
    const Bank = defineEntity({ name: "Bank", rpcs: { pay: rpc<void, string>({ persisted: true }) } });
    const bank = Bank.implement({
      pay(_input, ctx) {
        if (isBroken) throw Object.assign(new Error("no connection"), { retryable: true });
        paid.push(ctx.requestId);
        return "paid";
      },
    });
    const work = Work.implement({ execute: (ctx) => ctx.entity(Bank, "1").pay() });
    await using cluster = await createTestCluster({ register: [bank, work], storageMessageMaxRetries: 1 });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({ status: "failed" });
    isBroken = false;
    const [letter] = await cluster.deadLetters.list();
    await cluster.deadLetters.requeue(letter?.requestId ?? "");
    await handle.resume();
    await cluster.advance("5s");
    expect(await handle.poll()).toBe("paid");
    expect(paid).toHaveLength(1);
  });
});

describe("a persisted call that a workflow gives up with `signal: ctx.cancelled`", () => {
  it("ends as the cancellation that it is", async () => {
    const work = Work.implement({
      execute: (ctx) => ctx.entity(Slow, "s").keep(undefined, { signal: ctx.cancelled }),
    });
    await using cluster = await createTestCluster({ register: [slow, work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1s");
    await handle.cancel("stop");
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    await expect(handle.poll()).rejects.toThrow(WorkflowCancelledError);
  });
});

describe("an entity type that is called by its name", () => {
  it("in another shard group than its own is refused, persisted, too, and nothing is stored", async () => {
    const Far = defineEntity({
      name: "Far",
      shardGroup: "far",
      rpcs: { keep: rpc<string, string>({ persisted: true }) },
    });
    const far = Far.implement({ keep: (text) => text });
    await using cluster = await createTestCluster({
      runners: 2,
      perRunner: (index) => (index === 1 ? { shardGroups: ["far"], register: [far] } : {}),
    });
    const unnamed = cluster.entityClient("Far");
    await expect(unnamed.sendPersisted("1", "keep", "x")).rejects.toThrow(UnknownEntityError);
    await expect(unnamed.notifyPersisted("1", "keep", "x")).rejects.toThrow(/entityClient\(\) that group/u);
    const named = cluster.entityClient("Far", { shardGroup: "far" });
    await expect(named.sendPersisted("1", "keep", "x")).resolves.toBe("x");
  });
});
