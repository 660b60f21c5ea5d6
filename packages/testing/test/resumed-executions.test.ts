// Executions that failed and go on by `resume()`: what is done anew, what is joined, and under which keys.

import {
  defineEntity,
  defineWorkflow,
  ExecutionStateError,
  NonDeterminismError,
  rpc,
  WorkflowFailedError,
  type Registration,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { beforeEach, describe, expect, it } from "vitest";
import * as z from "zod";

const Part = defineWorkflow<string, string>({ name: "Part" });
const Work = defineWorkflow<string, string>({ name: "Work", key: (id) => id, hashKey: false });

describe("a resumed execution", () => {
  it("calls a persisted rpc that had failed anew", async () => {
    let isBroken = true;
    let calls = 0;
    const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>({ persisted: true }) } });
    const bank = Bank.implement({
      charge() {
        calls += 1;
        if (isBroken) throw new Error("declined");
        return "receipt";
      },
    });
    const work = Work.implement({ execute: (ctx) => ctx.entity(Bank, "1").charge() });
    await using cluster = await createTestCluster({ register: [bank, work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    await expect(handle.result()).rejects.toThrow("declined");
    isBroken = false;
    await handle.resume();
    await cluster.advance("5s");
    await expect(handle.result()).resolves.toBe("receipt");
    expect(calls).toBe(2);
  });
});

describe("an execution that waits for fixed code, and is resumed", () => {
  it("tries the code that is there now", async () => {
    let first = "reserve";
    const work = Work.implement({
      async execute(ctx) {
        await ctx.run(first, () => 1);
        await ctx.sleep("1 hour");
        return "shipped";
      },
    });
    await using cluster = await createTestCluster({ register: [work] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1 minute");
    await expect(handle.resume(), "it has not failed").rejects.toThrow(ExecutionStateError);
    first = "check";
    // By then it looks once a minute.
    await cluster.advance("70 minutes");
    await expect(handle.result()).rejects.toThrow(NonDeterminismError);
    first = "reserve";
    await handle.resume();
    await cluster.advance("100ms");
    expect(await handle.poll()).toBe("shipped");
  });
});

describe("an execution that is resumed before its runner knows that its error is recorded", () => {
  it("is not failed again by the same error", async () => {
    let isBroken = true;
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const work = Work.implement({
      async execute() {
        await gate;
        if (isBroken) throw new TypeError("a slip");
        return "done";
      },
    });
    await using cluster = await createTestCluster({ register: [work], runners: 1 });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("1s");
    cluster.faults({ storageErrorAfterCommit: 1 }, [0]);
    open();
    await cluster.advance("20ms");
    expect(await handle.describe()).toMatchObject({ status: "failed" });
    isBroken = false;
    await handle.resume();
    cluster.faults({}, [0]);
    await cluster.advance("30s");
    expect(await handle.result()).toBe("done");
  });
});

describe("a resumed execution that had called a persisted rpc", () => {
  const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<string, string>({ persisted: true }) } });
  const handled: string[] = [];
  let release = (): void => undefined;
  /** Notes what it is charged with, and answers once it is released. */
  const bank = Bank.implement({
    async charge(what) {
      handled.push(what);
      await held;
      return `charged ${what}`;
    },
  });
  let held = Promise.resolve();
  beforeEach(() => {
    handled.length = 0;
    held = new Promise((resolve) => (release = resolve));
  });
  const failed = async (
    execute: (ctx: WorkflowContext) => Promise<string>,
    ...others: readonly Registration[]
  ) => {
    const cluster = await createTestCluster({ register: [bank, Work.implement({ execute }), ...others] });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    return { cluster, handle };
  };

  it.each([
    ["by its time-out", "its error", false],
    ["by its time-out", "an error of its own", true],
    ["by its signal", "its error", false],
    ["by its signal", "an error of its own", true],
  ])("and given it up %s, and failed with %s: joins the same request", async (how, _error, isOwn) => {
    let isPatient = false;
    const made = await failed(async (ctx) => {
      const abort = new AbortController();
      const limits = how === "by its signal" ? { signal: abort.signal } : { timeout: "1s" as const };
      const call = ctx.entity(Bank, "1").charge("a sale", limits);
      await ctx.sleep("1s");
      if (!isPatient) abort.abort();
      return call.catch((cause: unknown) => {
        throw isOwn ? new RangeError("the bank is slow") : cause;
      });
    });
    await using cluster = made.cluster;
    isPatient = true;
    release();
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(handled).toEqual(["a sale"]);
  });

  it("whose reply it could not read: gets that reply", async () => {
    let isMended = false;
    const output = z.string().refine(() => isMended);
    const OwnBank = defineEntity({
      name: "Bank",
      rpcs: { charge: rpc({ input: z.string(), output, persisted: true }) },
    });
    release();
    const made = await failed((ctx) => ctx.entity(OwnBank, "1").charge("a sale"));
    await using cluster = made.cluster;
    isMended = true;
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(handled).toEqual(["a sale"]);
  });

  it("on its way to the failure: takes nothing of that for what it asks for instead", async () => {
    let isBroken = true;
    const keys: string[] = [];
    release();
    const made = await failed(async (ctx) => {
      const note = (what: string): Promise<void> =>
        ctx.run(what, ({ idempotencyKey }) => {
          keys.push(idempotencyKey);
        });
      try {
        await ctx.run("ship", () => {
          if (isBroken) throw new Error("no ship");
        });
      } catch (cause) {
        await ctx.entity(Bank, "1").charge("a fee");
        await note("failed");
        throw cause;
      }
      const charged = await ctx.entity(Bank, "1").charge("a sale");
      await note("shipped");
      return charged;
    });
    await using cluster = made.cluster;
    isBroken = false;
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(handled).toEqual(["a fee", "a sale"]);
    expect(new Set(keys).size).toBe(2);
  });

  it.each([0, 1])(
    "in a branch beside the failure: joins that, also %i positions further on",
    async (further) => {
      let isBroken = true;
      const keys = new Set<string>();
      const children: string[] = [];
      release();
      const part = Part.implement({
        async execute(ctx, what) {
          children.push(ctx.executionId);
          return what;
        },
      });
      const made = await failed(async (ctx) => {
        const rating = (async () => {
          await ctx.run("rate", () => {
            if (isBroken) throw new Error("no rate");
          });
          for (let more = 0; more < further; more += 1) await ctx.run("rated", () => more);
        })();
        const paying = (async () => {
          await ctx.sleep("1s");
          await ctx.run("mail", ({ idempotencyKey }) => {
            keys.add(idempotencyKey);
          });
          for (const what of ["one", "the same", "the same"]) await ctx.entity(Bank, "1").charge(what);
          return ctx.child(Part).execute("a part");
        })();
        const [rated, paid] = await Promise.allSettled([rating, paying]);
        if (rated.status === "rejected") throw rated.reason;
        return paid.status;
      }, part);
      await using cluster = made.cluster;
      isBroken = false;
      await made.handle.resume();
      await cluster.advance("5s");
      await expect(made.handle.result()).resolves.toBe("fulfilled");
      expect({ handled, keys: keys.size, children: children.length }).toEqual({
        handled: ["one", "the same", "the same"],
        keys: 1,
        children: 1,
      });
    },
  );

  it("and given it up after another step had failed: joins the same request", async () => {
    const made = await failed(async (ctx) => {
      const byCard = ctx.run("by card", () => {
        throw new Error("no card");
      });
      await byCard.catch(() => undefined);
      return ctx
        .entity(Bank, "1")
        .charge("a sale", { timeout: "1s" })
        .catch(() => {
          throw new RangeError("no way to pay");
        });
    });
    await using cluster = made.cluster;
    release();
    await cluster.advance("5s");
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(handled).toEqual(["a sale"]);
  });

  it("that it made again by itself, with a good end: joins that", async () => {
    let isBroken = true;
    let calls = 0;
    const Shaky = defineEntity({ name: "Shaky", rpcs: { charge: rpc<string, string>({ persisted: true }) } });
    const shaky = Shaky.implement({
      charge(what) {
        calls += 1;
        if (calls === 1) throw new Error("not now");
        return `charged ${what}`;
      },
    });
    const made = await failed(async (ctx) => {
      const rating = ctx.run("rate", () => {
        if (isBroken) throw new Error("no rate");
      });
      const charge = (): Promise<string> => ctx.entity(Shaky, "1").charge("a sale");
      const paying = ctx.sleep("1s").then(() => charge().catch(charge));
      const [rated, paid] = await Promise.allSettled([rating, paying]);
      if (rated.status === "rejected") throw rated.reason;
      return paid.status === "fulfilled" ? paid.value : "not charged";
    }, shaky);
    await using cluster = made.cluster;
    isBroken = false;
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(calls).toBe(2);
  });

  it("that was answered with an error, once and again: makes it anew each time", async () => {
    let failures = 0;
    const Shaky = defineEntity({ name: "Shaky", rpcs: { charge: rpc<string, string>({ persisted: true }) } });
    const shaky = Shaky.implement({
      charge(what) {
        failures += 1;
        if (failures < 4) throw new Error(`no ${failures}`);
        return `charged ${what}`;
      },
    });
    const made = await failed(
      (ctx) =>
        ctx
          .entity(Shaky, "1")
          .charge("a sale")
          .catch(() => ctx.entity(Shaky, "1").charge("a sale")),
      shaky,
    );
    await using cluster = made.cluster;
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).rejects.toThrow("no 3");
    await made.handle.resume();
    await cluster.advance("5s");
    await expect(made.handle.result()).resolves.toBe("charged a sale");
    expect(failures).toBe(4);
  });
});
