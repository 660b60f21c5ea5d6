// What happens to executions where a write fails, a read is slow or a process ends at the one moment that matters.

import { defineEntity, defineWorkflow, ExecutionStateError, query, rpc } from "@holdfast/core";
import {
  PersistenceError,
  type MessageStorage,
  type OpenStorage,
  type WorkflowStorage,
} from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";

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

describe("a persisted call whose outcome the crash of its execution lost", () => {
  it("is awaited although the execution was cancelled before its next copy, and can be undone", async () => {
    const log: string[] = [];
    const Bank = defineEntity({ name: "Bank", rpcs: { charge: rpc<void, string>({ persisted: true }) } });
    const bank = Bank.implement({
      charge() {
        log.push("charged");
        return "receipt";
      },
    });
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
    const [before, after] = [new Door(), new Door()];
    await using cluster = await createTestCluster({
      register: [child, parent],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          async readExecution(key, tags) {
            if (key.entityType !== "workflow:Child") return workflows.readExecution(key, tags);
            await before.passed();
            const read = await workflows.readExecution(key, tags);
            await after.passed();
            return read;
          },
        },
      })),
    });
    before.close();
    after.close();
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("50ms");
    await cluster.workflow(Child).get("c").cancel("not wanted");
    before.open();
    await cluster.advance("10s");
    expect(await handle.describe(), "it has watched, and left memory").toMatchObject({ status: "suspended" });
    after.open();
    await cluster.advance("10s");
    await expect(handle.poll()).resolves.toBe("WorkflowCancelledError");
    expect(log).toEqual([]);
  });
});

function at() {
  return query({ output: z.int() });
}

function notWritten(operation: string): PersistenceError {
  return new PersistenceError({ operation, outcome: "not-written", detail: "told to" });
}

/** What passes waits while it is closed. */
class Door {
  #opened: Promise<void> | null = null;
  #open: () => void = () => undefined;
  #passes = 0;

  close(): void {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#opened = null;
    this.#open();
  }

  /** Whoever comes next does not wait; who waits already does. */
  letNextPass(): void {
    this.#passes += 1;
  }

  async passed(): Promise<void> {
    if (this.#passes > 0) this.#passes -= 1;
    else await this.#opened;
  }
}

interface Tampered {
  readonly workflows?: Partial<WorkflowStorage>;
  readonly messages?: Partial<MessageStorage>;
}

/** Storage some of whose methods are others, which are given what they stand in for. */
function tampering(methods: (storage: OpenStorage) => Tampered): (storage: OpenStorage) => OpenStorage {
  return (storage) => {
    const { workflows = {}, messages = {} } = methods(storage);
    return {
      workflows: withMethods(storage.workflows, workflows),
      messages: withMethods(storage.messages, messages),
      runners: storage.runners,
      close: () => storage.close(),
    };
  };
}

function withMethods<Target extends object>(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get(_target, property) {
      if (Object.hasOwn(methods, property)) return Reflect.get(methods, property);
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
