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

const Trio = defineEntity({
  name: "Trio",
  concurrency: 3,
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

  it("costs that none either where another one in front of it turns out to be one after it was read again", async () => {
    const doors: Readonly<Record<string, Door>> = { slow: new Door(), fast: new Door() };
    const ran: string[] = [];
    const trio = Trio.implement({
      keep(text) {
        ran.push(text);
        return text;
      },
    });
    await using cluster = await createTestCluster({
      register: [trio],
      storageMessageMaxRetries: 0,
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(envelope, ...rest) {
            const saved = await messages.saveRequest(envelope, ...rest);
            await doors[envelope.payload.includes("slow") ? "slow" : "fast"]?.passed();
            return saved;
          },
        },
      })),
    });
    const keep = (text: string): Promise<string> =>
      cluster.entity(Trio, "t").keep(text, { idempotencyKey: text });
    await Promise.all([keep("slow"), keep("fast")]);
    for (const door of Object.values(doors)) door.close();
    const calls = ["slow", "fast", "new"].map(keep);
    await cluster.advance("50ms");
    for (const door of [doors["fast"], doors["slow"]]) {
      door?.open();
      await cluster.advance("1s");
    }
    expect(await Promise.all(calls)).toEqual(["slow", "fast", "new"]);
    expect(ran).toEqual(["slow", "fast", "new"]);
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

const Line = defineEntity({
  name: "Line",
  rpcs: {
    keep: rpc<string, string>({ persisted: true, primaryKey: (text) => text }),
    ask: rpc<string, string>(),
  },
});

/** One line. What the write of "again" comes to waits at a door, as do the write of "late" itself and what is read. */
async function line() {
  const [saving, writing, reading] = [new Door(), new Door(), new Door()];
  const ran: string[] = [];
  const take = (text: string): string => {
    ran.push(text);
    return text;
  };
  const cluster = await createTestCluster({
    register: [Line.implement({ keep: take, ask: take })],
    tamper: tampering(({ messages }) => ({
      messages: {
        async saveRequest(envelope, ...rest) {
          if (envelope.deduplicationKey === "late") await writing.passed();
          const saved = await messages.saveRequest(envelope, ...rest);
          if (envelope.deduplicationKey === "again") await saving.passed();
          return saved;
        },
        async readPending(...args) {
          const read = await messages.readPending(...args);
          if (read.requests.length > 0) await reading.passed();
          return read;
        },
      },
    })),
  });
  const { keep, ask } = cluster.entity(Line, "l");
  const due = (): Date => new Date(cluster.now() + 1_000);
  return {
    cluster,
    saving,
    writing,
    reading,
    ran,
    keep,
    ask,
    due,
    [Symbol.asyncDispose]: () => cluster.shutdown(),
  };
}

describe("what came behind a request that turns out to be a duplicate", () => {
  it("is handled after it, if storage has that from before, due and not read yet (INV-4)", async () => {
    await using test = await line();
    const { cluster, saving, reading, ran, keep, due } = test;
    await keep.notify("again", { deliverAt: due() });
    reading.close();
    await cluster.advance("2s");
    saving.close();
    const sent = [keep.notify("again"), keep.notify("next")];
    await cluster.advance("50ms");
    saving.open();
    await cluster.advance("50ms");
    reading.open();
    await cluster.advance("1s");
    await Promise.all(sent);
    expect(ran).toEqual(["again", "next"]);
  });

  it("is handled before what a read brings that left it out (INV-4)", async () => {
    await using test = await line();
    const { cluster, saving, reading, ran, keep, due } = test;
    await keep("again");
    saving.close();
    const sent = [keep.notify("again"), keep.notify("next")];
    await cluster.advance("50ms");
    await keep.notify("later", { deliverAt: due() });
    reading.close();
    await cluster.advance("2s");
    saving.open();
    await cluster.advance("50ms");
    reading.open();
    await cluster.advance("1s");
    await Promise.all(sent);
    expect(ran).toEqual(["again", "next", "later"]);
  });

  it.each(["before it is put back", "after"])(
    "is not overtaken while it is read anew, its own write being done %s (INV-4)",
    async (when) => {
      await using test = await line();
      const { cluster, saving, writing, reading, ran, keep } = test;
      await keep("again");
      saving.close();
      if (when === "after") writing.close();
      const sent = [keep.notify("again"), keep.notify("late")];
      await cluster.advance("50ms");
      reading.close();
      saving.open();
      await cluster.advance("50ms");
      writing.open();
      await cluster.advance("50ms");
      sent.push(keep.notify("next"));
      await cluster.advance("50ms");
      reading.open();
      await cluster.advance("1s");
      await Promise.all(sent);
      expect(ran).toEqual(["again", "late", "next"]);
    },
  );

  it("keeps its place if it is volatile", async () => {
    await using test = await line();
    const { cluster, saving, ran, keep, ask } = test;
    await keep("again");
    saving.close();
    const sent = [keep("again"), ask("asked")];
    await cluster.advance("50ms");
    saving.open();
    await cluster.advance("1s");
    expect(ran).toEqual(["again", "asked"]);
    expect(await Promise.all(sent)).toEqual(["again", "asked"]);
  });
});

it("a request of which a copy comes while it is stored runs once", async () => {
  const door = new Door();
  const ran: string[] = [];
  const pair = Pair.implement({
    async keep(text) {
      ran.push(text);
      await cluster.sleep(1_000);
      return text;
    },
  });
  await using cluster = await createTestCluster({ register: [pair], tamper: atTheDoor(door) });
  door.close();
  cluster.faults({ duplicate: 1 });
  const kept = cluster.entity(Pair, "p").keep("kept", { idempotencyKey: "1" });
  await cluster.advance("50ms");
  cluster.faults({});
  door.open();
  await cluster.advance("5s");
  expect(ran).toEqual(["kept"]);
  expect(await kept).toBe("kept");
});

it.each(["is under way", "has ended"])(
  "a request that is read while its acceptance is on its way runs once, also if it %s when the read comes back",
  async (state) => {
    const [accepting, reading] = [new Door(), new Door()];
    const ran: string[] = [];
    const pair = Pair.implement({
      keep(text) {
        ran.push(text);
        return text;
      },
    });
    await using cluster = await createTestCluster({
      register: [pair],
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveRequest(...args) {
            const saved = await messages.saveRequest(...args);
            await accepting.passed();
            return saved;
          },
          async readPending(...args) {
            const read = await messages.readPending(...args);
            if (read.requests.length > 0) await reading.passed();
            return read;
          },
        },
      })),
    });
    accepting.close();
    if (state === "has ended") reading.close();
    const kept = cluster.entity(Pair, "p").keep("kept", { idempotencyKey: "1" });
    // Longer than from one poll to the next.
    await cluster.advance("2s");
    accepting.open();
    await cluster.advance("1s");
    reading.open();
    await cluster.advance("1s");
    expect(ran).toEqual(["kept"]);
    expect(await kept).toBe("kept");
  },
);
