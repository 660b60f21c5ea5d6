import { defineWorkflow } from "@holdfast/core";
import type { MessageStorage, OpenStorage } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

const Nap = defineWorkflow<{ id: string }, string>({ name: "Nap", key: ({ id }) => id });

const nap = Nap.implement({
  async execute(ctx, { id }) {
    await ctx.sleep("1 minute");
    return `${id} slept`;
  },
});

describe("a request that turns out to be a duplicate", () => {
  it("does not leave behind what was due while it was found out (INV-7)", async () => {
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [nap],
      tamper: (storage) => withSlowAcceptance(storage, door),
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
});

/** What passes waits while it is closed. */
class Door {
  #opened: Promise<void> = Promise.resolve();
  #open: () => void = () => undefined;

  close(): void {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  passed(): Promise<void> {
    return this.#opened;
  }
}

/** Storage whose answers to `saveRequest` wait at the door. */
function withSlowAcceptance(storage: OpenStorage, door: Door): OpenStorage {
  const saveRequest: MessageStorage["saveRequest"] = async (...args) => {
    const saved = await storage.messages.saveRequest(...args);
    await door.passed();
    return saved;
  };
  const messages = new Proxy(storage.messages, {
    get(target, property) {
      if (property === "saveRequest") return saveRequest;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { messages, workflows: storage.workflows, runners: storage.runners, close: () => storage.close() };
}
