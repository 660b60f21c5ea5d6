import { defineEntity, defineWorkflow, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, notWritten, tampering } from "./tampering.ts";

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

  it.each(["one runner", "two runners"])(
    "needs no room in a mailbox that is full: it joins what waits, or has the reply that is there, on %s",
    async (how) => {
      const door = new Door();
      const ran: string[] = [];
      const pay = Pay.implement({
        async charge({ id }) {
          ran.push(id);
          await door.passed();
          return id;
        },
      });
      await using cluster = await createTestCluster({
        runners: how === "one runner" ? 1 : 2,
        register: [pay],
        entityMailboxCapacity: 1,
      });
      const { charge } = cluster.entity(Pay, "p");
      await charge({ id: "answered" });
      door.close();
      const first = ["runs", "waits"].map((id) => charge({ id }));
      await cluster.advance("50ms");
      const again = ["answered", "runs", "waits", "new"].map((id) => charge({ id }).catch(String));
      const accepted = charge.notify({ id: "waits" }).then(() => "accepted", String);
      await cluster.advance("50ms");
      door.open();
      door.letPass();
      await cluster.advance("1s");
      expect(await Promise.all(first)).toEqual(["runs", "waits"]);
      const full = expect.stringContaining("is full");
      expect(await Promise.all(again)).toEqual(["answered", "runs", "waits", full]);
      expect(await accepted).toBe("accepted");
      expect(ran).toEqual(["answered", "runs", "waits"]);
    },
  );

  it("is told of no refusal where its mailbox is full of a request of its key that is being stored", async () => {
    const [handling, storing] = [new Door(), new Door()];
    const ran: string[] = [];
    const pay = Pay.implement({
      async charge({ id }) {
        ran.push(id);
        await handling.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(...args) {
            await storing.passed();
            return messages.saveRequest(...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    handling.close();
    const calls = [charge({ id: "runs" })];
    await cluster.advance("50ms");
    storing.close();
    calls.push(charge({ id: "waits" }));
    await cluster.advance("50ms");
    calls.push(charge({ id: "waits" }));
    await cluster.advance("50ms");
    storing.open();
    handling.open();
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual(["runs", "waits", "waits"]);
    expect(ran).toEqual(["runs", "waits"]);
  });

  it("is told of no refusal where a request of its key is being stored that is due later", async () => {
    const [handling, storing] = [new Door(), new Door()];
    const pay = Pay.implement({
      async charge({ id }) {
        await handling.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(...args) {
            await storing.passed();
            return messages.saveRequest(...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    const deliverAt = new Date(cluster.now() + 2_000);
    handling.close();
    const calls = [charge({ id: "runs" })];
    await cluster.advance("50ms");
    storing.close();
    calls.push(charge({ id: "later" }, { deliverAt }));
    await cluster.advance("50ms");
    storing.letNextPass();
    calls.push(charge({ id: "waits" }));
    await cluster.advance("50ms");
    calls.push(charge({ id: "later" }, { deliverAt }));
    await cluster.advance("50ms");
    storing.open();
    handling.open();
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual(["runs", "later", "waits", "later"]);
  });

  it("is looked for beside few others, so that all else finds storage free, and not once its caller has left", async () => {
    const [handling, looking] = [new Door(), new Door()];
    let [lookUps, underWay, most] = [0, 0, 0];
    const pay = Pay.implement({
      async charge({ id }) {
        await handling.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            lookUps += 1;
            underWay += 1;
            most = Math.max(most, underWay);
            await looking.passed();
            underWay -= 1;
            return messages.lookUpByKey(...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    handling.close();
    const first = ["runs", "waits"].map((id) => charge({ id }));
    await cluster.advance("50ms");
    looking.close();
    const many = Array.from({ length: 100 }, (_, each) => charge({ id: `${each}` }).catch(String));
    await cluster.advance("50ms");
    const left = Array.from({ length: 100 }, () => charge({ id: "left" }, { timeout: "1s" }).catch(String));
    await cluster.advance("2s");
    looking.open();
    expect(await Promise.all(left)).toEqual(left.map(() => expect.stringContaining("TimeoutError")));
    expect(await Promise.all(many)).toEqual(many.map(() => expect.stringContaining("is full")));
    expect(most).toBeLessThan(10);
    expect(lookUps).toBe(many.length);
    handling.open();
    await cluster.advance("1s");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
  });

  it("does not wait for a storage that is silent once for each that is in front of it", async () => {
    const door = new Door();
    let isAway = false;
    const stored: string[] = [];
    const pay = Pay.implement({
      async charge({ id }) {
        await door.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      sendRetryCount: 0,
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            if (!isAway) return messages.lookUpByKey(...args);
            await cluster.sleep(20_000);
            throw notWritten("lookUpByKey");
          },
          async saveRequest(envelope, ...args) {
            stored.push(envelope.requestId);
            return messages.saveRequest(envelope, ...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    door.close();
    const first = ["runs", "waits"].map((id) => charge({ id }));
    await cluster.advance("50ms");
    isAway = true;
    const many = Array.from({ length: 100 }, (_, each) => charge({ id: `${each}` }));
    await cluster.advance("21s");
    // Each was sent back, and its sender stores it.
    expect(stored).toHaveLength(102);
    door.open();
    await cluster.advance("1 minute");
    expect(await Promise.all([...first, ...many])).toHaveLength(102);
  });

  it("is looked for although one in front of it was not found for a lost connection", async () => {
    const door = new Door();
    let lookUps = 0;
    const stored: string[] = [];
    const pay = Pay.implement({
      async charge({ id }) {
        await door.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            lookUps += 1;
            const isLost = lookUps % 10 === 0;
            await cluster.sleep(10);
            if (isLost) throw notWritten("lookUpByKey");
            return messages.lookUpByKey(...args);
          },
          async saveRequest(envelope, ...args) {
            stored.push(envelope.requestId);
            return messages.saveRequest(envelope, ...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    door.close();
    const first = ["runs", "waits"].map((id) => charge({ id }));
    await cluster.advance("50ms");
    const many = Array.from({ length: 200 }, (_, each) => charge({ id: `${each}` }).catch(String));
    await cluster.advance("10s");
    // Their senders store none of those for which there is no room.
    expect(stored).toHaveLength(first.length);
    expect(await Promise.all(many)).toEqual(many.map(() => expect.stringContaining("is full")));
    door.open();
    await cluster.advance("1s");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
  });

  it("is told of no refusal where its mailbox is full and storage cannot be asked for its key", async () => {
    const door = new Door();
    let isAway = false;
    const pay = Pay.implement({
      async charge({ id }) {
        await door.passed();
        return id;
      },
    });
    await using cluster = await createTestCluster({
      register: [pay],
      entityMailboxCapacity: 1,
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            if (isAway) throw notWritten("lookUpByKey");
            return messages.lookUpByKey(...args);
          },
        },
      })),
    });
    const { charge } = cluster.entity(Pay, "p");
    door.close();
    const first = ["runs", "waits"].map((id) => charge({ id }));
    await cluster.advance("50ms");
    isAway = true;
    const again = charge({ id: "waits" });
    await cluster.advance("50ms");
    isAway = false;
    door.open();
    await cluster.advance("1 minute");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
    expect(await again).toBe("waits");
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
