import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, tampering } from "./tampering.ts";

const Nap = defineWorkflow<{ id: string }, string>({ name: "Nap", key: ({ id }) => id });

const nap = Nap.implement({
  async execute(ctx, { id }) {
    await ctx.sleep("1 minute");
    return `${id} slept`;
  },
});

const Pair = defineEntity({
  name: "Pair",
  concurrency: 2,
  rpcs: { keep: rpc<string, string>({ persisted: true }) },
});

const Pay = defineEntity({
  name: "Pay",
  rpcs: { charge: rpc<{ id: string }, string>({ persisted: true, primaryKey: ({ id }) => id }) },
});

/** What each `saveRequest` came to waits at the door. */
const atTheDoor = (door: Door) =>
  tampering(({ messages }) => ({
    messages: {
      async saveRequest(...args) {
        const saved = await messages.saveRequest(...args);
        await door.passed();
        return saved;
      },
    },
  }));

describe("a request that turns out to be a duplicate", () => {
  it("does not leave behind what was due while it was found out (INV-7)", async () => {
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [nap],
      tamper: atTheDoor(door),
    });
    const naps = cluster.workflow(Nap);
    const handle = await naps.start({ id: "ada" });
    await cluster.advance("59s");
    door.close();
    const again = naps.start({ id: "ada" });
    // The execution falls due, and queues behind the request that storage has not answered for yet.
    await cluster.advance("2s");
    door.open();
    await again;
    await cluster.advance("1s");
    expect(await handle.poll()).toBe("ada slept");
  });

  it("costs what came behind it no attempt", async () => {
    const door = new Door();
    const ran: string[] = [];
    const pair = Pair.implement({
      keep(text) {
        ran.push(text);
        if (text === "fails") throw new Error("told to");
        return text;
      },
    });
    await using cluster = await createTestCluster({
      register: [pair],
      storageMessageMaxRetries: 0,
      tamper: atTheDoor(door),
    });
    const { keep } = cluster.entity(Pair, "p");
    await keep("first", { idempotencyKey: "1" });
    door.close();
    const calls = [
      keep("first", { idempotencyKey: "1" }),
      keep("second", { idempotencyKey: "2" }),
      keep("fails", { idempotencyKey: "3" }).catch(String),
    ];
    await cluster.advance("50ms");
    door.open();
    await cluster.advance("5s");
    const replies = await Promise.all(calls);
    expect(replies.slice(0, 2)).toEqual(["first", "second"]);
    expect(ran).toEqual(["first", "second", "fails"]);
  });

  it("gets the reply of what was under way when storage looked, and is answered when that is heard", async () => {
    const [door, work] = [new Door(), new Door()];
    work.close();
    const pair = Pair.implement({ keep: (text) => work.passed().then(() => text) });
    await using cluster = await createTestCluster({
      register: [pair],
      isPatient: false,
      tamper: atTheDoor(door),
    });
    const { keep } = cluster.entity(Pair, "p");
    const first = keep("first", { idempotencyKey: "1" });
    await cluster.advance("50ms");
    door.close();
    const second = keep("first", { idempotencyKey: "1" });
    await cluster.advance("50ms");
    work.open();
    await cluster.advance("50ms");
    expect(await first).toBe("first");
    door.open();
    const answered = second.then((reply) => `answered with ${reply}`);
    await cluster.advance("5s");
    expect(await Promise.race([answered, "waits"])).toBe("answered with first");
  });

  it("is found out by its rpc's primaryKey where its sender does not know the definition", async () => {
    const ran: string[] = [];
    const pay = Pay.implement({
      charge({ id }) {
        ran.push(id);
        return `${id} ${ran.length}`;
      },
    });
    // The test's own member, which calls, has no registrations.
    await using cluster = await createTestCluster({ runners: 2, perRunner: () => ({ register: [pay] }) });
    const untyped = cluster.entityClient("Pay");
    const answers = await Promise.all([
      untyped.sendPersisted("p", "charge", { id: "c1" }),
      untyped.sendPersisted("p", "charge", { id: "c1" }),
    ]);
    answers.push(await untyped.sendPersisted("p", "charge", { id: "c1" }));
    answers.push(await cluster.entity(Pay, "p").charge({ id: "c1" }));
    expect(answers).toEqual(["c1 1", "c1 1", "c1 1", "c1 1"]);
    const own = { idempotencyKey: "its own" };
    await expect(untyped.sendPersisted("p", "charge", { id: "c1" }, own)).resolves.toBe("c1 2");
    await expect(untyped.sendPersisted("p", "charge", { id: "" })).rejects.toThrow(/primaryKey/u);
    expect(ran).toEqual(["c1", "c1"]);
  });

  it("is sent once, however long its reply is waited for", async () => {
    let saved = 0;
    await using cluster = await createTestCluster({
      runners: 2,
      register: [nap],
      tamper: tampering(({ messages }) => ({
        messages: {
          saveRequest(...args) {
            saved += 1;
            return messages.saveRequest(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Nap).start({ id: "ada" });
    const results = [handle.result(), handle.result()];
    await cluster.advance("2s");
    const before = saved;
    await cluster.advance("50s");
    expect(saved).toBe(before);
    await cluster.advance("20s");
    expect(await Promise.all(results)).toEqual(["ada slept", "ada slept"]);
  });
});
