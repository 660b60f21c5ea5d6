// Executions of which one write fails, is in doubt, comes late, or is the last one of their owner: whichever write it is, they come
// to what they come to undisturbed, and their journals say so.

import { defineEntity, defineWorkflow, query, rpc, type WorkflowContext } from "@holdfast/core";
import { type OpenStorage, transactionScopeOf } from "@holdfast/core/adapter";
import { createTestCluster, replayWorkflow, type TestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";
import * as z from "zod";
import { inDoubt, notWritten, tampering } from "./tampering.ts";

type Write = () => Promise<unknown>;
/** What happens to a write by runner `owner`. */
type Mishap = (write: Write, cluster: TestCluster, owner: number) => Promise<unknown>;

const MISHAPS: Readonly<Record<string, Mishap>> = {
  fails: () => Promise.reject(notWritten("a write")),
  async "is in doubt"(write) {
    await write();
    throw inDoubt("a write");
  },
  async "comes late"(write, cluster) {
    void cluster
      .sleep(1_500)
      .then(write)
      .catch(() => undefined);
    throw inDoubt("a write");
  },
  async "is lost in a crash"(_write, cluster, owner) {
    await cluster.crash(owner);
  },
  async "is the last one of its owner"(write, cluster, owner) {
    await write();
    await cluster.crash(owner);
  },
  async "is slow while its owner leaves"(write, cluster, owner) {
    void cluster.runners[owner]?.shutdown();
    await cluster.sleep(3_000);
    return write();
  },
};

/** What is done, each by its name; the committed once for each time. */
const done = new Set<string>();
const committed: string[] = [];
const Desk = defineEntity({ name: "Desk", rpcs: { add: rpc<string, string>({ persisted: true }) } });
const desk = Desk.implement({ add: (what) => (done.add(what), what) });
const define = (name: string) =>
  defineWorkflow<unknown, unknown>({
    name,
    key: () => "1",
    hashKey: false,
    signals: { go: z.string() },
    queries: { state: query<void, unknown>() },
  });
const queries = { state: (state: unknown) => state ?? null };
const act = (ctx: Pick<WorkflowContext, "run">, name: string): Promise<string> =>
  ctx.run(name, () => (done.add(name), name));
const commit = (ctx: Pick<WorkflowContext, "run">, name: string): Promise<string> =>
  ctx.run(name, (activity) => {
    transactionScopeOf(activity, "test").open("test");
    return name;
  });

const [Loop, Kid, Saga, Order] = [define("Loop"), define("Kid"), define("Saga"), define("Order")];
const loop = Loop.implement({
  queries,
  async execute(ctx, input) {
    const taken = (input as string[] | null) ?? [];
    ctx.setAttributes({ taken: taken.length });
    taken.push(String(await ctx.signal("go")), await commit(ctx, `bill ${taken.length}`));
    ctx.setState(taken);
    return taken.length < 4 ? ctx.continueAsNew(taken) : taken;
  },
});
const kid = Kid.implement({
  queries,
  async execute(ctx) {
    await ctx.sleep("3s");
    return act(ctx, "kid");
  },
});
const saga = Saga.implement({
  queries,
  async execute(ctx) {
    ctx.onCompensate("undo", async () => {
      await act(ctx, "undo");
      ctx.setState("undone");
    });
    await Promise.all([commit(ctx, "book"), act(ctx, "beside"), ctx.child(Kid).execute(null)]);
    ctx.setState("booked");
    throw new Error("no seat is left");
  },
});
const order = Order.implement({
  queries,
  async execute(ctx) {
    const first = await ctx.entity(Desk, "a").add("first");
    ctx.setAttributes({ first });
    const all = await Promise.all([act(ctx, "one"), commit(ctx, "two"), ctx.sleep("2s")]);
    ctx.setState(all);
    return [...all, await ctx.entity(Desk, "b").add("last")];
  },
});

/** What is to be seen in the end of an execution whose write number `at` has the mishap, and how many writes there were. */
async function outcomeOf(which: typeof Loop, mishap: Mishap | null, at: number) {
  done.clear();
  committed.length = 0;
  let isAsked = false;
  let writes = 0;
  let members = 0;
  const meet = (write: Write, owner: number): Promise<unknown> => {
    if (isAsked) writes += 1;
    return isAsked && writes === at && mishap !== null ? mishap(write, cluster, owner) : write();
  };
  await using cluster: TestCluster = await createTestCluster({
    runners: 2,
    shardsPerGroup: 8,
    runnerLockTtl: "6s",
    runnerLockRefreshInterval: "2s",
    register: [desk, loop, kid, saga, order],
    // The first one is the client, which writes nothing.
    tamper: (storage) => tampered(storage, members++ - 1, meet),
  });
  isAsked = true;
  const handle = await cluster.workflow(which).start(null);
  for (const key of which === Loop ? ["1", "2"] : []) await handle.signal("go", key, { idempotencyKey: key });
  await cluster.advance("1 minute");
  const end = await handle.poll().catch(String);
  const { attributes, status } = await handle.describe();
  const code = { Loop: loop, Saga: saga, Order: order }[which.name] ?? kid;
  const { status: replayed } = await replayWorkflow(code, await handle.exportJournal());
  const state = await handle.query("state");
  isAsked = false;
  const effects = [[...done].toSorted(), committed.toSorted()];
  return { seen: { end, status, attributes, replayed, state, effects }, writes };
}

/** Each write goes by `meet`; transactions commit with their entry, or not at all. */
function tampered(
  storage: OpenStorage,
  owner: number,
  meet: (write: Write, owner: number) => Promise<unknown>,
) {
  return tampering(({ workflows, messages }) => {
    const append: typeof workflows.appendJournal = async (execution, entries, fence, transaction) => {
      const { entries: there } = await workflows.readExecution(execution, { execution: "", inbox: [] });
      if (transaction !== null && there.some(({ ordinal }) => ordinal === entries[0]?.ordinal))
        throw inDoubt("appendJournal");
      await workflows.appendJournal(execution, entries, fence, null);
      if (transaction !== null) committed.push(...entries.map(({ name }) => name));
    };
    const met =
      <Args extends unknown[], Result>(write: (...args: Args) => Promise<Result>) =>
      (...args: Args) =>
        meet(() => write(...args), owner) as Promise<Result>;
    return {
      workflows: { appendJournal: met(append), trimExecution: met(workflows.trimExecution.bind(workflows)) },
      messages: {
        beginTransaction: () => ({ kind: "test", lostWith: null, rollback: async () => undefined }),
        recordAttempt: met(messages.recordAttempt.bind(messages)),
        reschedule: met(messages.reschedule.bind(messages)),
        saveReply: met(messages.saveReply.bind(messages)),
      },
    };
  })(storage);
}

const cases = [Loop, Saga, Order].flatMap((which) => Object.keys(MISHAPS).map((what) => ({ which, what })));

it.each(cases)(
  "an execution of $which.name comes to its end whichever write $what",
  async ({ which, what }) => {
    const { seen, writes } = await outcomeOf(which, null, 0);
    expect(seen.effects[1], "what is committed").not.toEqual([]);
    for (let at = 1; at <= writes; at += 1)
      expect((await outcomeOf(which, MISHAPS[what] as Mishap, at)).seen, `write ${at}`).toEqual(seen);
  },
);
