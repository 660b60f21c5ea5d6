// Callers that wait no longer: what becomes of their requests, of others' who wait for the same, and of what they asked in
// the wrong way.

import {
  defineEntity,
  defineWorkflow,
  rpc,
  WorkflowCancelledError,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Slow = defineEntity({
  name: "Slow",
  rpcs: { keep: rpc<string, string>({ persisted: true }), lose: rpc<string, string>() },
});

/** Its handlers resolve to their input once `release` is called, or to "cut" as soon as their signal is aborted. */
async function slowCluster(): Promise<{ cluster: TestCluster; ran: string[]; release: () => void }> {
  const ran: string[] = [];
  const held: (() => void)[] = [];
  const handler = (input: string, ctx: HandlerContext): Promise<string> => {
    ran.push(input);
    return new Promise((resolve) => {
      ctx.signal.addEventListener("abort", () => resolve("cut"));
      held.push(() => resolve(input));
    });
  };
  const cluster = await createTestCluster({
    runners: 2,
    register: [Slow.implement({ keep: handler, lose: handler })],
  });
  return { cluster, ran, release: () => held.splice(0).forEach((end) => end()) };
}
const settled = (call: Promise<unknown>): Promise<unknown> => call.catch((error: Error) => error.name);

describe("the caller of a request that waits for its turn", () => {
  it("leaves: a persisted one runs all the same, and its key gives its result (INV-2); a volatile one does not", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    const first = slow.keep("first");
    await cluster.advance("100ms");
    const kept = settled(slow.keep("kept", { idempotencyKey: "k", timeout: "1s" }));
    const lost = settled(slow.lose("lost", { timeout: "1s" }));
    await cluster.advance("2s");
    await expect(Promise.all([kept, lost])).resolves.toEqual(["TimeoutError", "TimeoutError"]);
    expect(handled.ran).toEqual(["first"]);

    const again = slow.keep("kept", { idempotencyKey: "k" });
    for (let turn = 0; turn < 2; turn += 1) {
      handled.release();
      await cluster.advance("1s");
    }
    await expect(Promise.all([first, again])).resolves.toEqual(["first", "kept"]);
    expect(handled.ran).toEqual(["first", "kept"]);
  });
});

describe("the caller of a request that runs", () => {
  it.each(["its sender", "one that joined"])(
    "leaves: where others wait for it, it goes on: %s",
    async (who) => {
      const handled = await slowCluster();
      await using cluster = handled.cluster;
      const slow = cluster.entity(Slow, "s");
      const timeouts = who === "its sender" ? ["1s", undefined] : [undefined, "1s"];
      const calls: Promise<unknown>[] = [];
      for (const timeout of timeouts) {
        calls.push(settled(slow.keep("once", { idempotencyKey: "k", timeout })));
        await cluster.advance("100ms");
      }
      await cluster.advance("2s");
      handled.release();
      await cluster.advance("1s");
      const outcomes = who === "its sender" ? ["TimeoutError", "once"] : ["once", "TimeoutError"];
      await expect(Promise.all(calls)).resolves.toEqual(outcomes);
      expect(handled.ran).toEqual(["once"]);
    },
  );

  it("leaves after one that joined had left: the handler is interrupted", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    const joined = (timeout: "1s" | "2s"): Promise<unknown> =>
      settled(slow.keep("once", { idempotencyKey: "k", timeout }));
    const sender = joined("2s");
    await cluster.advance("100ms");
    const other = joined("1s");
    await cluster.advance("3s");
    await expect(Promise.all([sender, other])).resolves.toEqual(["TimeoutError", "TimeoutError"]);
    // What the handler made of it is its reply.
    await expect(slow.keep("once", { idempotencyKey: "k" })).resolves.toBe("cut");
  });
});

describe("a call of a workflow's", () => {
  it.each(["keep", "lose"] as const)("ends when the code aborts the signal that it gave: %s", async (tag) => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const Calls = defineWorkflow<string, string>({ name: "Calls", key: (id) => id });
    cluster.register(
      Calls.implement({
        activities: {},
        async execute(ctx) {
          const abort = new AbortController();
          const call = ctx.entity(Slow, "s")[tag]("x", { signal: abort.signal });
          const outcome = settled(call);
          await ctx.sleep("2s");
          abort.abort();
          return String(await outcome);
        },
      }),
    );
    const result = cluster.workflow(Calls).execute("one");
    await cluster.advance("5s");
    await expect(result).resolves.toBe("InterruptedError");
  });
});

describe("a volatile call of a workflow's that was given a signal of another library", () => {
  it("ends when the execution is cancelled", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const Calls = defineWorkflow<string, string>({ name: "Calls", key: (id) => id });
    cluster.register(
      Calls.implement({
        activities: {},
        async execute(ctx) {
          const foreign = Object.assign(new EventTarget(), { aborted: false }) as AbortSignal;
          return ctx.entity(Slow, "s").lose("x", { signal: foreign });
        },
      }),
    );
    const handle = await cluster.workflow(Calls).start("one");
    await cluster.advance("1s");
    await handle.cancel();
    await cluster.advance("1s");
    await expect(handle.result()).rejects.toThrow(WorkflowCancelledError);
  });
});

describe("the untyped client", () => {
  it("is told where it takes an rpc that streams for one that does not, and the other way round", async () => {
    const Both = defineEntity({
      name: "Both",
      rpcs: {
        one: rpc<void, number>(),
        kept: rpc<void, number>({ persisted: true }),
        many: rpc<void, number>({ stream: true }),
      },
    });
    let ran = 0;
    const one = (): number => (ran += 1);
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Both.implement({
          one,
          kept: one,
          async *many() {
            yield one();
          },
        }),
      ],
    });
    const client = cluster.entityClient("Both");
    const read = async (tag: string): Promise<void> => {
      for await (const element of client.sendStream("b", tag, undefined)) void element;
    };
    await expect(read("one")).rejects.toThrow(/replies once.*send/);
    await expect(read("kept")).rejects.toThrow(/replies once.*send/);
    await expect(client.send("b", "many", undefined)).rejects.toThrow(/streams its reply.*sendStream/);
    expect(ran).toBe(0);
  });
});
