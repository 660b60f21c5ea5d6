// Calls with a key at an entity whose mailbox is full: what was accepted under the key before is told from what is new.

import { defineEntity, rpc } from "@holdfast/core";
import type { MessageStorage } from "@holdfast/core/adapter";
import { createTestCluster, type TestClusterOptions } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { Door, notWritten, tampering } from "./tampering.ts";

const Pay = defineEntity({
  name: "Pay",
  rpcs: { charge: rpc<{ id: string }, string>({ persisted: true, primaryKey: ({ id }) => id }) },
});

const FULL = expect.stringContaining("is full");

/** An entity that handles one charge at a time, each once the door lets it through, and has room for one more. */
async function desk(
  options: TestClusterOptions = {},
  messagesOf: (messages: MessageStorage) => Partial<MessageStorage> = () => ({}),
) {
  const door = new Door();
  const ran: string[] = [];
  const pay = Pay.implement({
    async charge({ id }) {
      ran.push(id);
      await door.passed();
      return id;
    },
  });
  const cluster = await createTestCluster({
    register: [pay],
    entityMailboxCapacity: 1,
    tamper: tampering(({ messages }) => ({ messages: messagesOf(messages) })),
    ...options,
  });
  const { charge } = cluster.entity(Pay, "p");
  const fill = async (): Promise<Promise<string>[]> => {
    door.close();
    const first = ["runs", "waits"].map((id) => charge({ id }));
    await cluster.advance("50ms");
    return first;
  };
  return { cluster, charge, door, ran, fill, [Symbol.asyncDispose]: () => cluster.shutdown() };
}

describe("a call with a key at a full mailbox", () => {
  it.each([1, 2])(
    "needs no room where the key is known: it joins what waits, or has the reply that is there; %i runners",
    async (runners) => {
      await using test = await desk({ runners });
      const { cluster, charge, door } = test;
      await charge({ id: "answered" });
      const first = await test.fill();
      const again = ["answered", "runs", "waits", "new"].map((id) => charge({ id }).catch(String));
      const accepted = charge.notify({ id: "waits" }).then(() => "accepted", String);
      await cluster.advance("50ms");
      door.open();
      door.letPass();
      await cluster.advance("1s");
      expect(await Promise.all(first)).toEqual(["runs", "waits"]);
      expect(await Promise.all(again)).toEqual(["answered", "runs", "waits", FULL]);
      expect(await accepted).toBe("accepted");
      expect(test.ran).toEqual(["answered", "runs", "waits"]);
    },
  );

  it("is answered where the shard is another runner's by the time at which storage says what has its key", async () => {
    const asking = new Door();
    await using test = await desk({ runners: 2 }, (messages) => ({
      async lookUpByKey(...args) {
        const found = await messages.lookUpByKey(...args);
        await asking.passed();
        return found;
      },
    }));
    const { cluster, charge, door } = test;
    const first = await test.fill();
    asking.close();
    let answer: unknown = null;
    void charge({ id: "waits" }).then((said) => (answer = said));
    await cluster.advance("50ms");
    const owner = cluster.runners.findIndex(({ metrics }) => metrics.snapshot()["activations"] === 1);
    cluster.faults({ leaseErrorBeforeEffect: 1 }, [owner]);
    await cluster.advance("1 minute"); // runnerLockTtl is 30s
    asking.open();
    await cluster.advance("1s");
    door.open();
    door.letPass();
    await cluster.advance("10s");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
    expect(answer).toBe("waits");
  });

  it("that joins what is due and not read yet is not overtaken by what its sender sends next (INV-4)", async () => {
    const reading = new Door();
    await using test = await desk({}, (messages) => ({
      async readPending(...args) {
        await reading.passed();
        return messages.readPending(...args);
      },
    }));
    const { cluster, charge, door } = test;
    await charge.notify({ id: "known" }, { deliverAt: new Date(cluster.now() + 1_000) });
    const first = await test.fill();
    reading.close();
    await cluster.advance("2s");
    await charge.notify({ id: "known" });
    door.open();
    await cluster.advance("50ms");
    const next = charge.notify({ id: "next" });
    await cluster.advance("50ms");
    reading.open();
    await cluster.advance("1s");
    await Promise.all([...first, next]);
    expect(test.ran).toEqual(["runs", "waits", "known", "next"]);
  });

  it("is told of no refusal where a request of its key is being stored", async () => {
    const storing = new Door();
    await using test = await desk({}, (messages) => ({
      async saveRequest(...args) {
        await storing.passed();
        return messages.saveRequest(...args);
      },
    }));
    const { cluster, charge, door } = test;
    const deliverAt = new Date(cluster.now() + 2_000);
    door.close();
    const calls = [charge({ id: "runs" })];
    await cluster.advance("50ms");
    storing.close();
    calls.push(charge({ id: "later" }, { deliverAt }), charge({ id: "waits" }));
    await cluster.advance("50ms");
    calls.push(charge({ id: "waits" }), charge({ id: "later" }, { deliverAt }));
    await cluster.advance("50ms");
    storing.open();
    door.open();
    await cluster.advance("1 minute");
    expect(await Promise.all(calls)).toEqual(["runs", "later", "waits", "waits", "later"]);
    expect(test.ran).toEqual(["runs", "waits", "later"]);
  });

  it.each(["before storage is asked, and is there when it has answered", "while storage is asked"])(
    "is told of no refusal where a request of its key goes to storage %s",
    async (when) => {
      const [asking, writing] = [new Door(), new Door()];
      await using test = await desk({}, (messages) => ({
        async lookUpByKey(...args) {
          const found = await messages.lookUpByKey(...args);
          await asking.passed();
          return found;
        },
        async saveRequest(envelope, ...rest) {
          if (envelope.deduplicationKey === "new") await writing.passed();
          return messages.saveRequest(envelope, ...rest);
        },
      }));
      const { cluster, charge, door } = test;
      const call = (id: string): Promise<string> => charge({ id }).catch(String);
      const isBefore = when.startsWith("before");
      const calls: Promise<unknown>[] = [];
      asking.close();
      writing.close();
      door.close();
      for (const id of isBefore ? ["runs"] : ["runs", "waits", "new"]) {
        calls.push(call(id));
        await cluster.advance("50ms");
      }
      if (!isBefore) {
        door.open();
        door.close();
        await cluster.advance("50ms");
      }
      calls.push(call("new"));
      await cluster.advance("50ms");
      if (isBefore) {
        calls.push(call("new"));
        await cluster.advance("50ms");
        writing.open();
        await cluster.advance("50ms");
      }
      asking.open();
      await cluster.advance("50ms");
      writing.open();
      door.open();
      door.letPass();
      await cluster.advance("10s");
      const said = isBefore ? ["runs", "new", "new"] : ["runs", "waits", "new", "new"];
      expect(await Promise.all(calls)).toEqual(said);
    },
  );

  it("is told of no refusal where storage cannot be asked for its key", async () => {
    let isAway = false;
    await using test = await desk({}, (messages) => ({
      async lookUpByKey(...args) {
        if (isAway) throw notWritten("lookUpByKey");
        return messages.lookUpByKey(...args);
      },
    }));
    const { cluster, charge, door } = test;
    const first = await test.fill();
    isAway = true;
    const again = charge({ id: "waits" });
    await cluster.advance("50ms");
    isAway = false;
    door.open();
    await cluster.advance("1 minute");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
    expect(await again).toBe("waits");
  });

  it("is looked for beside few others, so that all else finds storage free, and not once its caller has left", async () => {
    const looking = new Door();
    let [lookUps, underWay, most] = [0, 0, 0];
    await using test = await desk({}, (messages) => ({
      async lookUpByKey(...args) {
        lookUps += 1;
        underWay += 1;
        most = Math.max(most, underWay);
        await looking.passed();
        underWay -= 1;
        return messages.lookUpByKey(...args);
      },
    }));
    const { cluster, charge, door } = test;
    const first = await test.fill();
    looking.close();
    const many = Array.from({ length: 100 }, (_, each) => charge({ id: `${each}` }).catch(String));
    await cluster.advance("50ms");
    const left = Array.from({ length: 100 }, () => charge({ id: "left" }, { timeout: "1s" }).catch(String));
    await cluster.advance("2s");
    looking.open();
    expect(await Promise.all(left)).toEqual(left.map(() => expect.stringContaining("TimeoutError")));
    expect(await Promise.all(many)).toEqual(many.map(() => FULL));
    expect(most).toBeLessThan(10);
    expect(lookUps).toBe(many.length);
    door.open();
    await cluster.advance("1s");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
  });

  it("does not wait for a storage that is silent once for each that is in front of it", async () => {
    let isAway = false;
    let stored = 0;
    await using test = await desk({ sendRetryCount: 0 }, (messages) => ({
      async lookUpByKey(...args) {
        if (!isAway) return messages.lookUpByKey(...args);
        await test.cluster.sleep(20_000);
        throw notWritten("lookUpByKey");
      },
      async saveRequest(...args) {
        stored += 1;
        return messages.saveRequest(...args);
      },
    }));
    const { cluster, charge, door } = test;
    const first = await test.fill();
    isAway = true;
    const many = Array.from({ length: 100 }, (_, each) => charge({ id: `${each}` }));
    await cluster.advance("21s");
    // Each was sent back, and its sender stores it.
    expect(stored).toBe(102);
    door.open();
    await cluster.advance("1 minute");
    expect(await Promise.all([...first, ...many])).toHaveLength(102);
  });

  it("is looked for although one in front of it was not found for a lost connection", async () => {
    let [lookUps, stored] = [0, 0];
    await using test = await desk({}, (messages) => ({
      async lookUpByKey(...args) {
        lookUps += 1;
        const isLost = lookUps % 10 === 0;
        await test.cluster.sleep(10);
        if (isLost) throw notWritten("lookUpByKey");
        return messages.lookUpByKey(...args);
      },
      async saveRequest(...args) {
        stored += 1;
        return messages.saveRequest(...args);
      },
    }));
    const { cluster, charge, door } = test;
    const first = await test.fill();
    const many = Array.from({ length: 200 }, (_, each) => charge({ id: `${each}` }).catch(String));
    await cluster.advance("10s");
    // Their senders store none of those for which there is no room.
    expect(stored).toBe(first.length);
    expect(await Promise.all(many)).toEqual(many.map(() => FULL));
    door.open();
    await cluster.advance("1s");
    expect(await Promise.all(first)).toEqual(["runs", "waits"]);
  });
});

describe("an entity for whose stored requests there was no room", () => {
  const stored = ["1", "2", "3", "4", "5", "6"];

  /** One with room for four besides the one that runs, for which six were stored, and read. */
  async function box() {
    const [door, reading] = [new Door(), new Door()];
    const ran: string[] = [];
    const Box = defineEntity({
      name: "Box",
      mailboxCapacity: 4,
      rpcs: { put: rpc<string, void>({ persisted: true }) },
    });
    const implementation = Box.implement({
      async put(what) {
        ran.push(what);
        await door.passed();
      },
    });
    const cluster = await createTestCluster({
      register: [implementation],
      tamper: tampering(({ messages }) => ({
        messages: {
          async readPending(...args) {
            await reading.passed();
            return messages.readPending(...args);
          },
        },
      })),
    });
    const { put } = cluster.entity(Box, "b");
    const deliverAt = new Date(cluster.now() + 1_000);
    for (const what of stored) await put.notify(what, { deliverAt });
    door.close();
    await cluster.advance("2s");
    /** What runs ends, and the next one begins. */
    const next = async (): Promise<void> => {
      door.open();
      door.close();
      await cluster.advance("50ms");
    };
    return { cluster, door, reading, ran, put, next, [Symbol.asyncDispose]: () => cluster.shutdown() };
  }

  it("takes no new one before them where there is room, and they are not read yet (INV-4)", async () => {
    await using test = await box();
    const { cluster, door, reading, ran, put, next } = test;
    reading.close();
    for (let ended = 0; ended < 4; ended += 1) await next();
    const other = put.notify("7");
    await cluster.advance("50ms");
    door.open();
    door.letPass();
    reading.open();
    await cluster.advance("2s");
    await other;
    expect(ran).toEqual([...stored, "7"]);
  });

  it("takes no other one before them, although there is some by now (INV-4)", async () => {
    await using test = await box();
    const { cluster, door, ran, put, next } = test;
    await next();
    expect(ran).toEqual(["1", "2"]);
    const other = put("7").catch(String);
    await cluster.advance("50ms");
    door.open();
    door.letPass();
    await cluster.advance("1s");
    expect(ran).toEqual(stored);
    expect(await other).toEqual(FULL);
  });
});
