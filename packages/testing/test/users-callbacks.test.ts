// What the user's own callbacks throw keeps nothing from going on.

import { defineEntity, rpc } from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { expect, it } from "vitest";

const Desk = defineEntity({
  name: "Desk",
  maxIdleTime: "10s",
  rpcs: { ring: rpc<void, string>({ persisted: true }) },
});

/** Throws where somebody wants to say what it is. */
class Unreadable extends Error {
  override get message(): string {
    throw new Error("this cannot be read");
  }
}

it.each([
  ["what is no object of a class", () => Object.create(null) as unknown],
  ["an error that cannot be read", () => Object.create(Unreadable.prototype) as unknown],
])("an entity answers again although its onEvict threw %s", async (_what, thrown) => {
  let evictions = 0;
  const desk = Desk.implement((entity) => {
    entity.onEvict(() => {
      evictions += 1;
      throw thrown();
    });
    return { ring: () => "rung" };
  });
  await using cluster = await createTestCluster({ register: [desk] });
  await cluster.entity(Desk, "a").ring();
  await cluster.advance("1 minute");
  expect(evictions).toBe(1);
  expect(await cluster.entity(Desk, "a").ring()).toBe("rung");
});

it("requests are handled although the logger throws", async () => {
  let attempts = 0;
  const desk = Desk.implement({
    ring() {
      attempts += 1;
      if (attempts === 1) throw Object.assign(new Error("try again"), { retryable: true });
      return "rung";
    },
  });
  let isFull = false;
  const log = (): void => {
    if (isFull) throw new Error("the disk of the log is full");
  };
  const logger = { debug: log, info: log, warn: log, error: log };
  await using cluster = await createTestCluster({ register: [desk], logger });
  isFull = true;
  const reply = cluster.entity(Desk, "a").ring();
  await cluster.advance("1 minute");
  expect(await reply).toBe("rung");
});
