// Callers that wait no longer: what becomes of their requests, of others' who wait for the same, and of what they asked in
// the wrong way.

import {
  defineEntity,
  defineWorkflow,
  InterruptedError,
  MailboxFullError,
  rpc,
  WorkflowCancelledError,
  type Duration,
  type HandlerContext,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Slow = defineEntity({
  name: "Slow",
  rpcs: { keep: rpc<string, string>({ persisted: true }), lose: rpc<string, string>() },
});

/** Its handlers resolve to their input once `release` is called, or to "cut" as soon as their signal is aborted. */
async function slowCluster(
  config: TestClusterOptions = {},
): Promise<{ cluster: TestCluster; ran: string[]; release: () => void }> {
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
    ...config,
  });
  return { cluster, ran, release: () => held.splice(0).forEach((end) => end()) };
}
/** Registers a workflow whose code this is, whose executions are named by their input. */
function workflowOf(cluster: TestCluster, execute: (ctx: WorkflowContext) => Promise<string | void>) {
  const Calls = defineWorkflow<string, string | void>({ name: "Calls", key: (id) => id, hashKey: false });
  cluster.register(Calls.implement({ execute }));
  return cluster.workflow(Calls);
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

describe("the caller of a volatile request that waits for its turn", () => {
  it("leaves: another one has its room", async () => {
    const handled = await slowCluster({ entityMailboxCapacity: 1 });
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    const first = slow.lose("first");
    await cluster.advance("100ms");
    const left = settled(slow.lose("left", { timeout: "1s" }));
    await cluster.advance("100ms");
    await expect(slow.lose("one too many")).rejects.toThrow(MailboxFullError);
    await cluster.advance("2s");
    const next = slow.lose("next");
    await cluster.advance("100ms");
    for (let turn = 0; turn < 2; turn += 1) {
      handled.release();
      await cluster.advance("1s");
    }
    await expect(Promise.all([first, left, next])).resolves.toEqual(["first", "TimeoutError", "next"]);
    expect(handled.ran).toEqual(["first", "next"]);
  });
});

describe("the caller of a persisted request", () => {
  it("leaves while its attempt is being recorded: it runs all the same", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    const first = slow.keep("first");
    const abort = new AbortController();
    const kept = settled(slow.keep("kept", { idempotencyKey: "k", signal: abort.signal }));
    await cluster.advance("1s");
    cluster.faults({ storageDelay: ["500ms", "500ms"] });
    handled.release();
    // A second for the reply of the first, and one for the attempt.
    await cluster.advance("1500ms");
    abort.abort();
    await cluster.advance("2s");
    expect(handled.ran).toEqual(["first", "kept"]);
    handled.release();
    const again = slow.keep("kept", { idempotencyKey: "k" });
    await cluster.advance("5s");
    await expect(Promise.all([first, kept, again])).resolves.toEqual(["first", "InterruptedError", "kept"]);
    expect(handled.ran).toEqual(["first", "kept"]);
  });

  it.each([
    ["asks for another attempt then: there is none", true],
    ["fails for that: it was interrupted", false],
  ])("leaves while a handler is at it, which %s", async (_what, retryable) => {
    let attempts = 0;
    const slow = Slow.implement({
      async keep(_input, ctx) {
        attempts += 1;
        await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
        throw Object.assign(new Error("it was cut short"), { retryable });
      },
      lose: (input) => input,
    });
    await using cluster = await createTestCluster({ runners: 1, register: [slow] });
    const { keep } = cluster.entity(Slow, "s");
    await expect(keep("kept", { idempotencyKey: "k", timeout: "1s" })).rejects.toThrow("gave no reply");
    await cluster.advance("5s");
    const came = await keep("kept", { idempotencyKey: "k", timeout: "5s" }).catch((error: unknown) => error);
    expect(came).toBeInstanceOf(InterruptedError);
    if (!retryable) expect(came).toMatchObject({ cause: { message: "it was cut short" } });
    expect(attempts).toBe(1);
  });

  it("leaves between two attempts: it is attempted again", async () => {
    let attempts = 0;
    const slow = Slow.implement({
      keep(input) {
        attempts += 1;
        if (attempts < 3) throw Object.assign(new Error("busy"), { retryable: true });
        return input;
      },
      lose: (input) => input,
    });
    await using cluster = await createTestCluster({ runners: 1, register: [slow] });
    const { keep } = cluster.entity(Slow, "s");
    const kept = settled(keep("kept", { idempotencyKey: "k", timeout: "50ms" }));
    await cluster.advance("5s");
    await expect(kept).resolves.toBe("TimeoutError");
    await expect(keep("kept", { idempotencyKey: "k" })).resolves.toBe("kept");
    expect(attempts).toBe(3);
  });

  it("leaves between two attempts, as the last of those who wait: it is attempted again", async () => {
    const first = Promise.withResolvers<void>();
    let attempts = 0;
    const slow = Slow.implement({
      async keep(input) {
        attempts += 1;
        if (attempts === 1) await first.promise;
        if (attempts < 3) throw Object.assign(new Error("busy"), { retryable: true });
        return input;
      },
      lose: (input) => input,
    });
    await using cluster = await createTestCluster({ runners: 1, register: [slow] });
    const { keep } = cluster.entity(Slow, "s");
    const sender = settled(keep("kept", { idempotencyKey: "k", timeout: "1s" }));
    await cluster.advance("100ms");
    const abort = new AbortController();
    const other = settled(keep("kept", { idempotencyKey: "k", signal: abort.signal }));
    // The sender leaves while the handler is at it, which is the other's from then on.
    await cluster.advance("2s");
    first.resolve();
    await cluster.advance("5ms");
    abort.abort();
    await cluster.advance("5s");
    await expect(Promise.all([sender, other])).resolves.toEqual(["TimeoutError", "InterruptedError"]);
    await expect(keep("kept", { idempotencyKey: "k" })).resolves.toBe("kept");
    expect(attempts).toBe(3);
  });

  it("leaves before it streams: its elements are kept for who asks again", async () => {
    const COUNT = 100;
    const Lines = defineEntity({
      name: "Lines",
      rpcs: {
        hold: rpc<void, void>({ persisted: true }),
        read: rpc<void, number>({ persisted: true, stream: true }),
      },
    });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let ended = 0;
    const lines = Lines.implement({
      hold: () => held,
      async *read() {
        for (let line = 0; line < COUNT; line += 1) yield line;
        ended += 1;
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [lines] });
    const peer = cluster.entity(Lines, "l");
    const read = async (timeout: Duration): Promise<readonly number[]> => {
      const elements: number[] = [];
      for await (const element of peer.read(undefined, { idempotencyKey: "k", timeout }))
        elements.push(element);
      return elements;
    };
    const hold = peer.hold();
    await cluster.advance("100ms");
    const left = settled(read("1s"));
    await cluster.advance("2s");
    await expect(left).resolves.toBe("TimeoutError");
    release();
    await hold;
    await cluster.advance("1s");
    expect(ended, "nobody reads it: it waits for no reader").toBe(1);
    await expect(read("1s")).resolves.toHaveLength(COUNT);
    expect(ended).toBe(1);
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

  it("leaves, and had only joined what its sender does not wait for: that goes on", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    await slow.keep.notify("once", { idempotencyKey: "k" });
    const joined = settled(slow.keep("once", { idempotencyKey: "k", timeout: "1s" }));
    await cluster.advance("2s");
    await expect(joined).resolves.toBe("TimeoutError");
    const again = slow.keep("once", { idempotencyKey: "k" });
    await cluster.advance("1s");
    handled.release();
    await expect(again).resolves.toBe("once");
    expect(handled.ran).toEqual(["once"]);
  });

  it("leaves, and had joined one whose sender left before it began: that goes on", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const slow = cluster.entity(Slow, "s");
    const joined = (): Promise<unknown> => settled(slow.keep("once", { idempotencyKey: "k", timeout: "1s" }));
    const first = slow.keep("first");
    await cluster.advance("100ms");
    const sender = joined();
    // Both wait for it then, and the other one still does when it begins.
    await cluster.advance("900ms");
    const other = joined();
    await cluster.advance("500ms");
    handled.release();
    await cluster.advance("2s");
    await expect(Promise.all([first, sender, other])).resolves.toEqual([
      "first",
      "TimeoutError",
      "TimeoutError",
    ]);
    const again = slow.keep("once", { idempotencyKey: "k" });
    await cluster.advance("1s");
    handled.release();
    await expect(again).resolves.toBe("once");
    expect(handled.ran).toEqual(["first", "once"]);
  });

  it.each([
    ["after", "2s", "1s", "0ms"],
    ["before", "1s", "2s", "0ms"],
    ["after one that joined and left while storage was asked for it, and not", "2s", "300ms", "250ms"],
  ] as const)(
    "leaves, %s one that joined: the last one interrupts the handler",
    async (_order, senderWaits, otherWaits, delay) => {
      const handled = await slowCluster();
      await using cluster = handled.cluster;
      const slow = cluster.entity(Slow, "s");
      const joined = (timeout: Duration): Promise<unknown> =>
        settled(slow.keep("once", { idempotencyKey: "k", timeout }));
      const sender = joined(senderWaits);
      await cluster.advance("100ms");
      cluster.faults({ storageDelay: [delay, delay] });
      const other = joined(otherWaits);
      await cluster.advance("5s");
      await expect(Promise.all([sender, other])).resolves.toEqual(["TimeoutError", "TimeoutError"]);
      // What the handler made of it is its reply.
      const again = slow.keep("once", { idempotencyKey: "k" });
      await cluster.advance("2s");
      await expect(again).resolves.toBe("cut");
    },
  );
});

describe("a process that called, and is dead", () => {
  it("has its volatile request interrupted that runs, and none of those handled that wait", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const Relay = defineEntity({
      name: "Relay",
      concurrency: 0,
      rpcs: { lose: rpc<{ to: string; text: string }, string>() },
    });
    cluster.register(Relay.implement({ lose: ({ to, text }, ctx) => ctx.entity(Slow, to).lose(text) }));
    const nameOn = (index: number): string => {
      const parts = cluster.runners[index]?.member.parts;
      const names = Array.from({ length: 100 }, (_, n) => `${n}`);
      return names.find((name) => parts?.host.serves(parts.router.shardOf("default", name)) === true) ?? "";
    };
    const [relay, to] = [cluster.entity(Relay, nameOn(0)), nameOn(1)];
    const calls = ["first", "second"].map((text) => settled(relay.lose({ to, text })));
    await cluster.advance("1s");
    await cluster.crash(0);
    await cluster.advance("1 minute");
    const next = cluster.entity(Slow, to).lose("next");
    await cluster.advance("1s");
    handled.release();
    await expect(next).resolves.toBe("next");
    expect(handled.ran).toEqual(["first", "next"]);
    await Promise.all(calls);
  });
});

describe("a volatile request that runs when its shard is lost", () => {
  it("is handled nowhere else: its caller is told that it may have run in part", async () => {
    const handled = await slowCluster({ runners: 1 });
    await using cluster = handled.cluster;
    const lost = settled(cluster.entity(Slow, "s").lose("lost", { timeout: "10 minutes" }));
    await cluster.advance("1s");
    cluster.faults({ leaseErrorBeforeEffect: 1 }, [0]);
    await cluster.advance("40s");
    expect(cluster.runners[0]?.shardsOwned).toBe(0);
    cluster.faults({});
    await cluster.advance("1 minute");
    expect(handled.ran).toEqual(["lost"]);
    await expect(lost).resolves.toBe("InterruptedError");
  });
});

describe("the signal of a handler that is to end", () => {
  /** Its handlers throw what their signal was aborted with, and note it. */
  const throwing = (
    thrown: unknown[],
  ): { handler: (input: string, ctx: HandlerContext) => Promise<string>; release: () => void } => {
    let isFree = false;
    const handler = async (input: string, { signal }: HandlerContext): Promise<string> => {
      if (isFree) return input;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      thrown.push(signal.reason);
      signal.throwIfAborted();
      return "not aborted";
    };
    return { handler, release: () => (isFree = true) };
  };

  it.each(["keep", "lose"] as const)(
    "has an InterruptedError for its reason, and who throws that is not attempted again: %s",
    async (tag) => {
      const thrown: unknown[] = [];
      const { handler } = throwing(thrown);
      await using cluster = await createTestCluster({
        runners: 2,
        register: [Slow.implement({ keep: handler, lose: handler })],
      });
      const slow = cluster.entity(Slow, "s");
      const key = tag === "keep" ? { idempotencyKey: "k" } : {};
      const left = settled(slow[tag]("x", { ...key, timeout: "1s" }));
      await cluster.advance("30s");
      await expect(left).resolves.toBe("TimeoutError");
      expect(thrown).toEqual([expect.any(InterruptedError)]);
      const message =
        `Slow/s.${tag} was interrupted: its caller left. ` +
        "It may have run in part: repeat it only if that is harmless.";
      expect(thrown).toMatchObject([{ message, code: "INTERRUPTED", retryable: false }]);
      if (tag === "lose") return;
      // It is the reply, as whatever else an interrupted handler throws.
      const again = slow.keep("x", key).catch((error: unknown) => error);
      await cluster.advance("1s");
      expect(await again).toBeInstanceOf(InterruptedError);
      expect(await again).toMatchObject({ message, retryable: false });
      expect(thrown).toHaveLength(1);
    },
  );

  it("is no failed attempt for who throws its reason on where the shard moves", async () => {
    const thrown: unknown[] = [];
    const { handler, release } = throwing(thrown);
    await using cluster = await createTestCluster({
      runners: 1,
      register: [Slow.implement({ keep: handler, lose: handler })],
      entityTerminationTimeout: "1s",
      storageMessageMaxRetries: 0,
    });
    const slow = cluster.entity(Slow, "s");
    const kept = slow.keep("kept");
    await cluster.advance("100ms");
    void cluster.runners[0]?.shutdown();
    await cluster.advance("5s");
    const message = expect.stringContaining(
      "Slow/s.keep was interrupted: the shard moves to another runner.",
    );
    // Thrown on by another handler, as its reply, it must not say that this may be repeated.
    expect(thrown).toMatchObject([{ message, code: "INTERRUPTED", retryable: false }]);
    release();
    await cluster.restart(0);
    await cluster.advance("5s");
    await expect(kept).resolves.toBe("kept");
    expect(await cluster.deadLetters.list()).toEqual([]);
  });
});

describe("the signal of an entity that leaves memory", () => {
  it("has an InterruptedError for its reason", async () => {
    const reasons: unknown[] = [];
    const slow = Slow.implement(({ signal }) => {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      return { keep: (input) => input, lose: (input) => input };
    });
    await using cluster = await createTestCluster({ runners: 1, register: [slow], entityMaxIdleTime: "10s" });
    await cluster.entity(Slow, "s").lose("x");
    await cluster.advance("1 minute");
    expect(reasons).toEqual([expect.any(InterruptedError)]);
    expect(String(reasons[0])).toContain("The work of Slow/s was interrupted: the entity left memory.");
  });
});

describe("a call of a workflow's", () => {
  it.each(["keep", "lose"] as const)("ends when the code aborts the signal that it gave: %s", async (tag) => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const calls = workflowOf(cluster, async (ctx) => {
      const abort = new AbortController();
      const call = ctx.entity(Slow, "s")[tag]("x", { signal: abort.signal });
      const outcome = settled(call);
      await ctx.sleep("2s");
      abort.abort();
      return String(await outcome);
    });
    const result = calls.execute("one");
    await cluster.advance("5s");
    await expect(result).resolves.toBe("InterruptedError");
  });
});

describe("a workflow that joined a request whose sender has left", () => {
  it.each(
    ["under way", "put off"].flatMap((state) =>
      ["a", "b"].flatMap((id) => [0, 1].map((leaves) => ({ state, id, leaves }))),
    ),
  )(
    "gets the reply of one $state, as $id, although runner $leaves leaves meanwhile, which may be its own",
    async ({ state, id, leaves }) => {
      const handled = await slowCluster();
      await using cluster = handled.cluster;
      const joins = workflowOf(cluster, (ctx) => ctx.entity(Slow, "s").keep("x", { idempotencyKey: "k" }));
      const deliverAt = new Date(cluster.now() + (state === "put off" ? 1_000 : 0));
      const options = { idempotencyKey: "k", timeout: "3s", deliverAt } as const;
      const sender = settled(cluster.entity(Slow, "s").keep("x", options));
      await cluster.advance("100ms");
      const handle = await joins.start(id);
      await cluster.advance("4s");
      await expect(sender).resolves.toBe("TimeoutError");
      const left = cluster.runners[leaves]?.shutdown();
      await cluster.advance("1 minute");
      await left;
      // Its next owner may have begun it anew.
      handled.release();
      await cluster.advance("1 minute");
      await expect(handle.poll()).resolves.toBe("x");
    },
  );

  it("has its effect where the workflow only notified: the sender does not interrupt it", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const notifies = workflowOf(cluster, (ctx) =>
      ctx.entity(Slow, "s").keep.notify("x", { idempotencyKey: "k" }),
    );
    const slow = cluster.entity(Slow, "s");
    const sender = settled(slow.keep("x", { idempotencyKey: "k", timeout: "2s" }));
    await cluster.advance("100ms");
    await notifies.start("one");
    await cluster.advance("5s");
    await expect(sender).resolves.toBe("TimeoutError");
    handled.release();
    await expect(slow.keep("x", { idempotencyKey: "k" })).resolves.toBe("x");
  });

  it("does not run in circles where it gives up a call on a member that is gone", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const givesUp = workflowOf(cluster, async (ctx) => {
      await gate;
      return ctx.entity(Slow, "s").keep("x", { signal: AbortSignal.abort() });
    });
    await givesUp.start("one");
    await cluster.advance("500ms");
    await Promise.all([cluster.crash(0), cluster.crash(1)]);
    open();
    // Comes once no microtask is left.
    await new Promise((resolve) => setImmediate(resolve));
    expect(handled.ran).toEqual([]);
  });
});

describe("a volatile call of a workflow's that was given a signal of another library", () => {
  it("ends when the execution is cancelled", async () => {
    const handled = await slowCluster();
    await using cluster = handled.cluster;
    const calls = workflowOf(cluster, (ctx) => {
      const foreign = Object.assign(new EventTarget(), { aborted: false }) as AbortSignal;
      return ctx.entity(Slow, "s").lose("x", { signal: foreign });
    });
    const handle = await calls.start("one");
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
