// What happens to executions where a write fails, a read is slow or a process ends at the one moment that matters.

import {
  defineEntity,
  defineWorkflow,
  ExecutionStateError,
  query,
  rpc,
  type EntityImplementation,
  type WorkflowContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, notWritten, tampering } from "./tampering.ts";

const Parent = defineWorkflow<string, string>({ name: "Parent", key: (id) => id, hashKey: false });
const Child = defineWorkflow<string, string>({ name: "Child", key: (id) => id, hashKey: false });

describe("a query", () => {
  it("reads the newest state, also when the copy before it crashed between the results that it handed out", async () => {
    const Work = defineWorkflow<string, string, Record<never, never>, { at: ReturnType<typeof at> }>({
      name: "Work",
      key: (id) => id,
      hashKey: false,
      queries: { at: at() },
    });
    const work = Work.implement({
      queries: { at: (state) => state ?? 0 },
      async execute(ctx) {
        ctx.setState(1);
        const first = ctx.run("first", () => 1);
        const second = ctx.run("second", () => 2);
        await first;
        ctx.setState(2);
        await second;
        await ctx.run("endless", () => new Promise(() => undefined));
        return "never";
      },
    });
    let hasFailed = false;
    await using cluster = await createTestCluster({
      register: [work],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(key, entries, fence, transaction) {
            const second = entries.findIndex(({ kind, ordinal }) => kind === "state" && ordinal > 1);
            if (second === -1 || hasFailed) return workflows.appendJournal(key, entries, fence, transaction);
            hasFailed = true;
            await workflows.appendJournal(key, entries.slice(0, second), fence, transaction);
            throw notWritten("appendJournal");
          },
        },
      })),
    });
    const handle = await cluster.workflow(Work).start("1");
    await cluster.advance("5s");
    expect(hasFailed).toBe(true);
    await expect(handle.query("at")).resolves.toBe(2);
  });
});

describe("a failed execution that two resume at once", () => {
  it("goes on once, and keeps what it did after the first of them", async () => {
    const done: string[] = [];
    const broken = new Set(["charge", "ship"]);
    const work = Parent.implement({
      async execute(ctx) {
        for (const what of ["charge", "ship"]) {
          await ctx.run(what, () => {
            if (broken.has(what)) throw new Error(`${what} is broken`);
            done.push(what);
          });
        }
        return "shipped";
      },
    });
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [work],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async reopenExecution(...args) {
            await door.passed();
            return workflows.reopenExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("5s");
    broken.delete("charge");
    door.close();
    const slow = handle.resume().catch((error: unknown) => error);
    await cluster.advance("1s");
    door.letNextPass();
    await handle.resume();
    await cluster.advance("5s");
    const steps = async (): Promise<readonly string[]> =>
      (await handle.describe()).steps.map(({ name, status }) => `${name} ${status}`);
    expect(await steps()).toEqual(["charge completed", "ship failed"]);
    door.open();
    expect(await slow).toBeInstanceOf(ExecutionStateError);
    expect(await steps()).toEqual(["charge completed", "ship failed"]);
    broken.delete("ship");
    await handle.resume();
    await cluster.advance("1 minute");
    await expect(handle.result()).resolves.toBe("shipped");
    expect(done).toEqual(["charge", "ship"]);
  });
});

describe("a child that becomes a dead letter", () => {
  /** A parent whose child cannot be read any more from when it wakes until `readsAgain`. */
  async function family(readsAgain: "once it is dead" | "never") {
    const child = Child.implement({
      async execute(ctx) {
        await ctx.sleep("10 minutes");
        return "awake";
      },
    });
    const parent = Parent.implement({
      execute: (ctx) =>
        ctx
          .child(Child)
          .execute("c")
          .catch((error: unknown) => `heard of ${(error as Error).name}`),
    });
    let isLost = false;
    const cluster = await createTestCluster({
      register: [child, parent],
      storageMessageMaxRetries: 2,
      tamper: tampering(({ workflows, messages }) => ({
        workflows: {
          async readExecution(key, tags) {
            if (isLost && key.entityType === "workflow:Child") throw notWritten("readExecution");
            return workflows.readExecution(key, tags);
          },
        },
        messages: {
          async saveDeadLetter(...args) {
            await messages.saveDeadLetter(...args);
            if (readsAgain === "once it is dead") isLost = false;
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "suspended" });
    isLost = true;
    await cluster.advance("14 minutes");
    expect(await cluster.deadLetters.list()).toMatchObject([{ entityId: "c" }]);
    return { cluster, handle, [Symbol.asyncDispose]: () => cluster.shutdown() };
  }

  it("wakes its parent", async () => {
    await using test = await family("once it is dead");
    await expect(test.handle.poll()).resolves.toMatch(/heard of/);
  });

  it("is noticed by its parent within an hour when it could not be told", async () => {
    await using test = await family("never");
    await expect(test.handle.poll()).resolves.toBeUndefined();
    await test.cluster.advance("50 minutes");
    await expect(test.handle.poll()).resolves.toMatch(/heard of/);
  });
});

describe("a parent that crashes after it sent its child a signal", () => {
  it("is not told that the signal was refused, although the child has ended meanwhile", async () => {
    const Listener = defineWorkflow({
      name: "Listener",
      input: z.string(),
      output: z.string(),
      key: (id) => id,
      hashKey: false,
      signals: { go: z.string() },
    });
    const listener = Listener.implement({ execute: (ctx) => ctx.signal("go") });
    const parent = Parent.implement({
      async execute(ctx) {
        const child = await ctx.child(Listener).start("c");
        await child.signal("go", "now");
        return child.result();
      },
    });
    const door = new Door();
    door.close();
    let hasFailed = false;
    await using cluster = await createTestCluster({
      register: [listener, parent],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(key, entries, fence, transaction) {
            if (!hasFailed && entries.some(({ name }) => name === "Listener.signal")) {
              hasFailed = true;
              await door.passed();
              throw notWritten("appendJournal");
            }
            return workflows.appendJournal(key, entries, fence, transaction);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1s");
    expect(hasFailed).toBe(true);
    await expect(cluster.workflow(Listener).get("c").poll()).resolves.toBe("now");
    door.open();
    await cluster.advance("20s");
    await expect(handle.result()).resolves.toBe("now");
  });
});

describe("a start of a child that is on its way while its parent is taken over and cancelled", () => {
  /** The first runner sends the start, and stands still before that arrives; it goes on once the parent has ended. */
  async function overtaken(code: (ctx: WorkflowContext, id: string) => Promise<string>) {
    const log: string[] = [];
    const Order = defineWorkflow<string, string>({ name: "Order", key: () => "1", hashKey: false });
    const order = Order.implement({
      async execute(ctx, id) {
        await ctx.signal("go");
        return code(ctx, id);
      },
    });
    const child = Child.implement({
      execute: (ctx, id) => ctx.run("work", () => void log.push("the child ran")).then(() => id),
    });
    const cluster = await createTestCluster({ runners: 3, register: [order, child], isPatient: false });
    const hostOf = (executionId: string): number =>
      cluster.runners.findIndex(({ member: { parts } }) =>
        parts.owner.owned.includes(parts.router.shardOf("default", executionId)),
      );
    const host = hostOf("1");
    const others = [0, 1, 2].filter((index) => index !== host);
    const ids = Array.from({ length: 20 }, (_, n) => `child ${n}`);
    const id = ids.find((each) => hostOf(each) !== host) ?? "";
    const starting = cluster.workflow(Order).start(id);
    await cluster.advance("100ms");
    const handle = await starting;
    cluster.partition([host], others);
    const signalling = handle.signal("go", null);
    await cluster.advance("150ms");
    await signalling;
    await cluster.pause(host);
    cluster.heal();
    const cancelling = handle.cancel("out of stock");
    await cluster.advance("2 minutes"); // runnerLockTtl is 30s
    await cancelling;
    log.push(`the parent is ${(await handle.describe()).status}`);
    await cluster.resume(host);
    await cluster.advance("2 minutes");
    const { status } = await cluster.workflow(Child).get(id).describe();
    return { log, status, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  }

  it.each(["executed", "started"])(
    "begins nothing once its parent was told that it is not %s",
    async (how) => {
      const told = new Set<string>();
      await using test = await overtaken(async (ctx, id) => {
        const child = ctx.child(Child);
        const starting = how === "executed" ? child.execute(id) : child.start(id);
        await starting.catch((error: unknown) => told.add(String(error)));
        await ctx.sleep("1s");
        return "slept";
      });
      expect([...told]).toEqual([expect.stringContaining("1 of Order was cancelled")]);
      expect(test.log).toEqual(["the parent is completed"]);
      expect(test.status).toBe("cancelled");
    },
  );

  it("leaves a detached one its key, and may begin it late", async () => {
    await using test = await overtaken(async (ctx, id) => {
      await ctx
        .child(Child)
        .start(id, { detached: true })
        .catch(() => undefined);
      await ctx.sleep("1s");
      return "slept";
    });
    expect(test.log).toEqual(["the parent is completed", "the child ran"]);
    expect(test.status).toBe("completed");
  });
});

describe("a persisted call whose outcome the crash of its execution lost", () => {
  const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>({ persisted: true }) } });

  function bankThatLogs(log: string[]): EntityImplementation {
    return Bank.implement({
      charge() {
        log.push("charged");
        return "receipt";
      },
    });
  }

  it("is awaited although the execution was cancelled before its next copy, and can be undone", async () => {
    const log: string[] = [];
    const bank = bankThatLogs(log);
    const work = Parent.implement({
      async execute(ctx) {
        await ctx.run("first", () => 1);
        const receipt = await ctx.entity(Bank, "1").charge();
        ctx.onCompensate("refund", () => ctx.run("refund", () => void log.push(`refunded ${receipt}`)));
        await ctx.sleep("1 hour");
        return "kept";
      },
    });
    const door = new Door();
    let hasFailed = false;
    await using cluster = await createTestCluster({
      register: [bank, work],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(key, entries, fence, transaction) {
            if (!hasFailed && entries.some(({ name }) => name === "Bank.charge")) {
              hasFailed = true;
              door.close();
              throw notWritten("appendJournal");
            }
            return workflows.appendJournal(key, entries, fence, transaction);
          },
          async readExecution(...args) {
            await door.passed();
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("2s");
    expect(hasFailed).toBe(true);
    expect(log).toEqual(["charged"]);
    await handle.cancel("not wanted");
    door.open();
    await cluster.advance("10s");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "refunded receipt"]);
  });

  it("is awaited also where the execution was cancelled while it waited for code of its version", async () => {
    const log: string[] = [];
    const bank = bankThatLogs(log);
    const versioned = (version: string) =>
      defineWorkflow<string, string>({ name: "Versioned", key: (id) => id, hashKey: false, version });
    const execute = async (ctx: WorkflowContext): Promise<string> => {
      const receipt = await ctx.entity(Bank, "1").charge();
      ctx.onCompensate("refund", () => ctx.run("refund", () => void log.push(`refunded ${receipt}`)));
      await ctx.sleep("1 hour");
      return "kept";
    };
    const one = versioned("1").implement({ execute });
    let code = one;
    const door = new Door();
    await using cluster = await createTestCluster({
      runners: 1,
      register: [bank, { ...one, bind: (services: never) => code.bind(services) }],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(key, entries, ...rest) {
            if (entries.some(({ name }) => name === "Bank.charge")) await door.passed();
            return workflows.appendJournal(key, entries, ...rest);
          },
        },
      })),
    });
    const deploy = async (next: typeof one): Promise<void> => {
      code = next;
      await cluster.crash(0);
      door.letPass();
      await cluster.restart(0);
      await cluster.advance("2 minutes");
    };
    door.close();
    const handle = await cluster.workflow(versioned("1")).start("1");
    await cluster.advance("1s");
    expect(log).toEqual(["charged"]);
    await deploy(versioned("2").implement({ execute: async () => "new" }));
    expect(await handle.describe()).toMatchObject({ waitsForCode: expect.any(String) });
    await handle.cancel("not wanted");
    await cluster.advance("1 minute");
    await deploy(versioned("2").implement({ execute: async () => "new", versions: { "1": execute } }));
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "refunded receipt"]);
  });
});

describe("an execution that is cancelled after an attempt of which nothing could be recorded", () => {
  it("undoes what that had begun, although the next one left before it came to it", async () => {
    const log: string[] = [];
    const Bank = defineEntity({ name: "Bank", rpcs: { note: rpc<string, void>({ persisted: true }) } });
    const bank = Bank.implement({ note: (what) => void log.push(what) });
    const work = Parent.implement({
      async execute(ctx) {
        ctx.onCompensate("undo", () => ctx.entity(Bank, "1").note("undone"));
        await ctx.entity(Bank, "1").note("charged");
        await ctx.sleep("1 hour");
        return "kept";
      },
    });
    const reading = new Door();
    let hasFailed = false;
    await using cluster = await createTestCluster({
      runners: 2,
      register: [bank, work],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(...args) {
            if (hasFailed) return workflows.appendJournal(...args);
            hasFailed = true;
            reading.close();
            throw notWritten("appendJournal");
          },
          async readExecution(...args) {
            await reading.passed();
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    expect(log).toEqual(["charged"]);
    await handle.cancel("not wanted");
    const owner = cluster.runners.find((runner) => (runner.metrics.snapshot()["retried"] ?? 0) > 0);
    void owner?.shutdown();
    await cluster.advance("100ms");
    reading.open();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "undone"]);
  });
});

describe("a persisted call that an execution had made when it failed beside it", () => {
  it("is awaited although the execution is resumed and cancelled at once, and can be undone", async () => {
    const log: string[] = [];
    const answering = new Door();
    const Bank = defineEntity({ name: "Bank", rpcs: { note: rpc<string, void>({ persisted: true }) } });
    const bank = Bank.implement({
      async note(what) {
        log.push(what);
        await answering.passed();
      },
    });
    const work = Parent.implement({
      async execute(ctx) {
        const charge = async (): Promise<void> => {
          await ctx.entity(Bank, "1").note("charged");
          ctx.onCompensate("undo", () => ctx.entity(Bank, "1").note("undone"));
        };
        const check = ctx.run("check", () => Promise.reject(new Error("not yet")));
        await Promise.all([charge(), check]);
        return "kept";
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [bank, work] });
    answering.close();
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    expect(await handle.describe()).toMatchObject({ status: "failed" });
    answering.open();
    await cluster.advance("1s");
    await cluster.crash(0);
    await handle.resume();
    const cancelling = handle.cancel("not wanted");
    await cluster.advance("1 minute");
    await cancelling;
    await cluster.restart(0);
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "undone"]);
  });
});

describe("an execution of which an attempt was begun, and nothing recorded", () => {
  /** Undoes what it has begun; its step goes on for ever. */
  function endless() {
    const log: string[] = [];
    const Bank = defineEntity({ name: "Bank", rpcs: { note: rpc<string, void>({ persisted: true }) } });
    const bank = Bank.implement({ note: (what) => void log.push(what) });
    const execute = async (ctx: WorkflowContext): Promise<string> => {
      ctx.onCompensate("undo", () => ctx.entity(Bank, "1").note("undone"));
      await ctx.run("charge", () => {
        log.push("charged");
        return new Promise(() => undefined);
      });
      return "kept";
    };
    return { log, bank, execute };
  }

  it("is undone when it is cancelled while it waits for code of its version", async () => {
    const { log, bank, execute } = endless();
    const options = { name: "Versioned", key: (id: string) => id, hashKey: false } as const;
    const first = defineWorkflow<string, string>({ ...options, version: "1" });
    const second = defineWorkflow<string, string>({ ...options, version: "2" });
    const one = first.implement({ execute });
    let code = one;
    await using cluster = await createTestCluster({
      runners: 1,
      register: [bank, { ...one, bind: (services: never) => code.bind(services) }],
    });
    const deploy = async (next: typeof one): Promise<void> => {
      code = next;
      await cluster.crash(0);
      await cluster.restart(0);
      await cluster.advance("2 minutes");
    };
    const handle = await cluster.workflow(first).start("1");
    await cluster.advance("1s");
    expect(log).toEqual(["charged"]);
    await deploy(second.implement({ execute: async () => "new" }));
    expect(await handle.describe()).toMatchObject({ waitsForCode: expect.any(String) });
    await handle.cancel("not wanted");
    await cluster.advance("1 minute");
    await deploy(second.implement({ execute: async () => "new", versions: { "1": execute } }));
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "undone"]);
  });

  it("is undone when it became a dead letter, and is resumed and cancelled", async () => {
    const { log, bank, execute } = endless();
    let isLost = false;
    await using cluster = await createTestCluster({
      runners: 1,
      register: [bank, Parent.implement({ execute })],
      storageMessageMaxRetries: 2,
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async readExecution(...args) {
            if (isLost) throw notWritten("readExecution");
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    isLost = true;
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("10 minutes");
    expect(await cluster.deadLetters.list()).toMatchObject([{ entityId: "1" }]);
    isLost = false;
    await cluster.crash(0);
    await handle.resume();
    const cancelling = handle.cancel("not wanted");
    await cluster.advance("1 minute");
    await cancelling;
    await cluster.restart(0);
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "undone"]);
  });

  it("is undone when it was cut short with its shard, and is cancelled before the next one", async () => {
    const { log, bank, execute } = endless();
    const [writing, reading] = [new Door(), new Door()];
    await using cluster = await createTestCluster({
      runners: 2,
      register: [bank, Parent.implement({ execute })],
      storageMessageMaxRetries: 0,
      entityTerminationTimeout: "1s",
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async appendJournal(...args) {
            await writing.passed();
            return workflows.appendJournal(...args);
          },
          async readExecution(...args) {
            await reading.passed();
            return workflows.readExecution(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    expect(log).toEqual(["charged"]);
    writing.close();
    reading.close();
    const owner = cluster.runners.find((runner) => runner.metrics.snapshot()["activations"] === 1);
    void owner?.shutdown();
    await cluster.advance("5s");
    await handle.cancel("not wanted");
    writing.open();
    reading.open();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
    expect(log).toEqual(["charged", "undone"]);
  });

  it("is no dead letter when its shard moves, even where nothing is attempted twice", async () => {
    const begun: number[] = [];
    const work = Parent.implement({
      async execute(ctx) {
        await ctx.run("long", async () => {
          begun.push(cluster.now());
          await cluster.sleep(60_000);
        });
        return "done";
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [work],
      storageMessageMaxRetries: 0,
      entityTerminationTimeout: "1s",
    });
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("1s");
    for (const runner of cluster.runners) {
      void runner.shutdown();
      await cluster.advance("10s");
      if (begun.length > 1) break;
      cluster.revive(cluster.runners.indexOf(runner));
      await cluster.advance("10s");
    }
    await cluster.advance("2 minutes");
    expect(begun).toHaveLength(2);
    expect(await cluster.deadLetters.list()).toEqual([]);
    await expect(handle.poll()).resolves.toBe("done");
  });
});

describe("what comes for a new execution while its acceptance is on its way to the runner", () => {
  const Listener = defineWorkflow({
    name: "Listener",
    input: z.string(),
    output: z.string(),
    key: (id) => id,
    hashKey: false,
    signals: { go: z.string() },
  });

  /** Starts an execution, and lets the runner know that it was accepted after `meanwhile`. */
  async function startAround(meanwhile: (cluster: TestCluster) => Promise<unknown>) {
    const begun: string[] = [];
    const reads: string[] = [];
    const door = new Door();
    const cluster = await createTestCluster({
      register: [
        Listener.implement({
          async execute(ctx) {
            await ctx.run("begin", () => void begun.push(ctx.executionId));
            return ctx.signal("go");
          },
        }),
      ],
      tamper: tampering(({ messages, workflows }) => ({
        messages: {
          async saveRequest(envelope, ...rest) {
            const saved = await messages.saveRequest(envelope, ...rest);
            if (envelope.tag === "execute") await door.passed();
            return saved;
          },
        },
        workflows: {
          readExecution(key, tags) {
            reads.push(key.executionId);
            return workflows.readExecution(key, tags);
          },
        },
      })),
    });
    door.close();
    const started = cluster.workflow(Listener).start("1");
    await cluster.advance("1s");
    await meanwhile(cluster);
    door.open();
    await started;
    await cluster.advance("100ms");
    return { cluster, begun, reads, [Symbol.asyncDispose]: () => cluster.shutdown() };
  }

  it("is nothing, mostly: then its journal is not read", async () => {
    await using test = await startAround(async () => undefined);
    expect(test.begun).toEqual(["1"]);
    expect(test.reads).toEqual([]);
    await test.cluster.workflow(Listener).get("1").signal("go", "now");
    await test.cluster.advance("100ms");
    await expect(test.cluster.workflow(Listener).get("1").poll()).resolves.toBe("now");
  });

  it("is a signal that it is given at once", async () => {
    await using test = await startAround((cluster) =>
      cluster.workflow(Listener).get("1").signal("go", "early"),
    );
    await expect(test.cluster.workflow(Listener).get("1").poll()).resolves.toBe("early");
  });

  it("is a cancellation that it is told of before it begins", async () => {
    await using test = await startAround((cluster) =>
      cluster.workflow(Listener).get("1").cancel("not wanted"),
    );
    expect(await test.cluster.workflow(Listener).get("1").describe()).toMatchObject({ status: "cancelled" });
    expect(test.begun).toEqual([]);
  });
});

describe("a signal that was taken by a run that is over when its reply could not be recorded", () => {
  it("holds up no later ones", async () => {
    const taken: string[] = [];
    const Till = defineWorkflow({
      name: "Till",
      input: z.number(),
      output: z.number(),
      key: () => "t",
      hashKey: false,
      signals: { pay: z.string() },
    });
    const till = Till.implement({
      async execute(ctx, runs) {
        const payment = await ctx.signal("pay");
        await ctx.run("take", () => void taken.push(payment));
        return ctx.continueAsNew(runs + 1);
      },
    });
    let fails = false;
    await using cluster = await createTestCluster({
      register: [till],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveReply(...args) {
            if (!fails) return messages.saveReply(...args);
            fails = false;
            throw notWritten("saveReply");
          },
        },
      })),
    });
    const handle = await cluster.workflow(Till).start(0);
    await cluster.advance("500ms");
    fails = true;
    await handle.signal("pay", "1");
    await cluster.advance("1s");
    expect(fails).toBe(false);
    await handle.signal("pay", "2");
    await cluster.advance("1 minute");
    expect(taken).toEqual(["1", "2"]);
    await handle.cancel();
    await cluster.advance("1 minute");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
  });
});

describe("an execution that is cancelled before it begins", () => {
  it("wakes a watcher that comes while it is read", async () => {
    const log: string[] = [];
    const child = Child.implement({
      async execute() {
        log.push("ran");
        return "ran";
      },
    });
    const parent = Parent.implement({
      execute: (ctx) =>
        ctx
          .child(Child)
          .execute("c")
          .catch((error: unknown) => (error as Error).name),
    });
    const [acceptance, reading] = [new Door(), new Door()];
    await using cluster = await createTestCluster({
      register: [child, parent],
      tamper: tampering(({ messages, workflows }) => ({
        messages: {
          async saveRequest(envelope, ...rest) {
            const saved = await messages.saveRequest(envelope, ...rest);
            if (envelope.address.entityType === "workflow:Child" && envelope.tag === "execute")
              await acceptance.passed();
            return saved;
          },
        },
        workflows: {
          async readExecution(key, tags) {
            const read = await workflows.readExecution(key, tags);
            if (key.entityType === "workflow:Child") await reading.passed();
            return read;
          },
        },
      })),
    });
    acceptance.close();
    reading.close();
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("50ms");
    await cluster.workflow(Child).get("c").cancel("not wanted");
    acceptance.open();
    await cluster.advance("10s");
    expect(await handle.describe(), "it has watched, and left memory").toMatchObject({ status: "suspended" });
    reading.open();
    await cluster.advance("10s");
    await expect(handle.poll()).resolves.toBe("WorkflowCancelledError");
    expect(log).toEqual([]);
  });
});

function at() {
  return query({ output: z.int() });
}

describe("a cancellation", () => {
  it("that reached nobody, for its execution went meanwhile, is not in the way of the next one of that id", async () => {
    let isGone = true;
    const parent = Parent.implement({ execute: (ctx) => ctx.sleep("1 hour").then(() => "slept") });
    await using cluster = await createTestCluster({
      register: [parent],
      tamper: tampering(({ messages }) => ({
        messages: {
          lookUpByKey: async (address, tag, key) =>
            isGone
              ? { state: "pending", requestId: "gone", deliverAt: null, attempts: 1 }
              : messages.lookUpByKey(address, tag, key),
        },
      })),
    });
    await cluster.workflow(Parent).get("1").cancel("too late");
    isGone = false;
    await cluster.advance("5s");
    const handle = await cluster.workflow(Parent).start("1");
    await cluster.advance("5s");
    await handle.cancel("enough");
    await cluster.advance("5s");
    expect(await handle.describe()).toMatchObject({ status: "cancelled" });
  });
});
