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
