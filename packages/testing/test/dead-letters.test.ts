// Dead letters that are written while somebody takes them back.

import { DeadLetteredError, defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { PersistenceError, type OpenStorage } from "@holdfast/core/adapter";
import { createTestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { notWritten, tampering, type Tampered } from "./tampering.ts";

const Mail = defineEntity({ name: "Mail", rpcs: { send: rpc<void, string>({ persisted: true }) } });

describe("a dead letter whose write has an unknown outcome", () => {
  it("stays requeued where somebody has done that by the time its runner looks again", async () => {
    let isAway = true;
    let written = 0;
    const mail = Mail.implement({
      send() {
        if (isAway) throw Object.assign(new Error("the server is away"), { retryable: true });
        return "sent";
      },
    });
    await using cluster = await createTestCluster({
      register: [mail],
      storageMessageMaxRetries: 0,
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveDeadLetter(requestId, letter, fence) {
            await messages.saveDeadLetter(requestId, letter, fence);
            written += 1;
            if (written > 1) return;
            isAway = false;
            await messages.requeueDeadLetter(requestId, null);
            throw new PersistenceError({
              operation: "saveDeadLetter",
              outcome: "unknown",
              detail: "told to",
            });
          },
        },
      })),
    });
    const sent = cluster.entity(Mail, "m").send();
    await cluster.advance("1 minute");
    expect(await sent).toBe("sent");
    expect(written).toBe(1);
    expect(await cluster.deadLetters.list()).toEqual([]);
  });
});

it("is there as soon as the last attempt failed, and every attempt is told of once", async () => {
  const times: number[] = [];
  const warnings: string[] = [];
  const skip = (): void => undefined;
  const mail = Mail.implement({
    send() {
      times.push(cluster.now());
      throw Object.assign(new Error("the server is away"), { retryable: true });
    },
  });
  await using cluster = await createTestCluster({
    register: [mail],
    storageMessageMaxRetries: 2,
    logger: { debug: skip, info: skip, warn: (line) => void warnings.push(line), error: skip },
  });
  const sent = expect(cluster.entity(Mail, "m").send()).rejects.toThrow(DeadLetteredError);
  await cluster.advance("1 minute");
  await sent;
  const [letter] = await cluster.deadLetters.list();
  expect(times).toHaveLength(3);
  expect(letter?.deadSince.getTime()).toBe(times[2]);
  expect(warnings.map((line) => line.replace(/:.*/u, ""))).toEqual([
    "An attempt failed and is repeated",
    "An attempt failed and is repeated",
    "A request is a dead letter now",
  ]);
  expect(cluster.metrics.snapshot()).toMatchObject({ retried: 2, deadLettered: 1 });
});

describe("a parent whose child becomes a dead letter", () => {
  const Kid = defineWorkflow<string, void>({ name: "Kid", key: (id) => id, hashKey: false });
  const kid = Kid.implement({
    async execute(ctx) {
      await ctx.sleep("10s");
      await ctx.run("step", () => 1);
    },
  });
  const Parent = defineWorkflow<string, string>({ name: "Parent", key: (id) => id, hashKey: false });
  const parent = Parent.implement({
    execute: (ctx, id) => {
      if (id === "sleeper") void ctx.sleep("1 day");
      return ctx
        .child(Kid)
        .execute("k")
        .then(String, (error: Error) => error.name);
    },
  });
  const kidThat = (methods: (storage: OpenStorage) => Tampered): TestClusterOptions => ({
    register: [kid, parent],
    runners: 1,
    storageMessageMaxRetries: 2,
    tamper: tampering((storage) => {
      const { workflows, messages } = methods(storage);
      return {
        messages: { ...messages },
        workflows: {
          appendJournal(execution, entries, ...rest) {
            if (entries.some(({ name }) => name === "step")) throw notWritten("appendJournal");
            return storage.workflows.appendJournal(execution, entries, ...rest);
          },
          ...workflows,
        },
      };
    }),
  });

  it("is told although the child's watchers could not be read at first", async () => {
    let refused = 0;
    await using cluster = await createTestCluster(
      kidThat(({ workflows }) => ({
        workflows: {
          readExecution(execution, tags) {
            // Who runs it names its request, too.
            const isToTell = execution.executionId === "k" && !("requestId" in execution);
            if (!isToTell || refused > 1) return workflows.readExecution(execution, tags);
            refused += 1;
            return Promise.reject(notWritten("readExecution"));
          },
        },
      })),
    );
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1 minute");
    expect(await cluster.deadLetters.list()).toHaveLength(1);
    expect(refused).toBe(2);
    expect(await handle.poll()).toBe("DeadLetteredError");
  });

  it.each(["waiter", "sleeper"])(
    "looks by itself in the end where nobody can tell it: a %s",
    async (parentId) => {
      let isAway = true;
      await using cluster = await createTestCluster(
        kidThat(({ workflows }) => ({
          workflows: {
            readExecution(execution, tags) {
              const isToTell = execution.executionId === "k" && !("requestId" in execution);
              return isToTell && isAway
                ? Promise.reject(notWritten("readExecution"))
                : workflows.readExecution(execution, tags);
            },
          },
        })),
      );
      const handle = await cluster.workflow(Parent).start(parentId);
      await cluster.advance("2 minutes");
      expect(await cluster.deadLetters.list()).toHaveLength(1);
      isAway = false;
      await cluster.advance("5 minutes");
      expect(await handle.poll(), "nobody told it").toBeUndefined();
      await cluster.advance("1 hour");
      expect(await handle.poll()).toBe("DeadLetteredError");
    },
  );

  it("is told although the child's runner dies as soon as the dead letter is written", async () => {
    await using cluster = await createTestCluster(
      kidThat(({ messages }) => ({
        messages: {
          async saveDeadLetter(...args) {
            await messages.saveDeadLetter(...args);
            cluster.runners[0]?.crash();
          },
        },
      })),
    );
    const handle = await cluster.workflow(Parent).start("p");
    await cluster.advance("1 minute");
    expect(await cluster.deadLetters.list()).toHaveLength(1);
    await cluster.restart(0);
    await cluster.advance("2 minutes");
    expect(await handle.poll()).toBe("DeadLetteredError");
  });
});
