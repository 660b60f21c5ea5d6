// Journals of a later release, which an earlier one comes upon in a rolling deploy, or after it was rolled back.

import { activity, defineWorkflow } from "@holdfast/core";
import type {
  InboxMessage,
  JournalEntry,
  OpenStorage,
  PendingPage,
  StoredExecution,
  WorkflowStorage,
} from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, tampering, type Tampered } from "./tampering.ts";

const Order = defineWorkflow({
  name: "Order",
  input: z.string(),
  output: z.string(),
  key: (id) => id,
  hashKey: false,
  signals: { carrier: z.string() },
});
/** A value that this release cannot read. */
const LATER = '{"$":["Later","1"]}';
const WATCH_OF_LATER: InboxMessage = { requestId: "w", tag: "watch", payload: LATER };

it.each<[string, JournalEntry["kind"], string]>([
  ["a resumption of another shape", "resume", '{"later":[1]}'],
  ["a run that began in another way", "continue", '["later"]'],
  ["a value of a kind that there is not", "version", LATER],
])(
  "an execution whose journal has %s waits until a release that can read it is there",
  async (_, kind, value) => {
    let isOfLater = false;
    let shipped = 0;
    const entry = (ordinal: number): JournalEntry => ({
      ordinal,
      position: -1,
      kind,
      name: kind,
      event: { type: "completed", value },
    });
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Order.implement({
          async execute(ctx, id) {
            await ctx.sleep("1 minute");
            await ctx.run("ship", () => void (shipped += 1));
            return `shipped ${id}`;
          },
        }),
      ],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          readExecution: reading(workflows, ({ entries, inbox }) =>
            isOfLater ? { entries: [...entries, entry(entries.length)], inbox } : { entries, inbox },
          ),
        },
      })),
    });
    const order = await cluster.workflow(Order).start("1");
    await cluster.advance("5s");
    isOfLater = true;
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("5 minutes");
    expect(await order.poll()).toBeUndefined();
    await expect(order.describe()).rejects.toThrow(/written by another release of @holdfast\/core/u);
    isOfLater = false;
    await cluster.advance("2 minutes");
    expect(await order.poll()).toBe("shipped 1");
    expect(shipped).toBe(1);
  },
);

it.each(["recorded", "was sent"])(
  "an execution that %s a value of a kind that there is not waits, and ends no runner",
  async (how) => {
    const event = { type: "completed", value: LATER } as const;
    const entryOfLater = (entry: JournalEntry): JournalEntry =>
      entry.name === "ship" ? { ...entry, event } : entry;
    const messageOfLater = (message: InboxMessage): InboxMessage => ({ ...message, payload: LATER });
    let isOfLater = false;
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Order.implement({
          async execute(ctx, id) {
            const shipped = await ctx.run("ship", () => `shipped ${id}`);
            await ctx.sleep("1 minute");
            return `${shipped} by ${await ctx.signal("carrier")}`;
          },
        }),
      ],
      tamper: tampering(({ workflows }) => ({
        workflows: {
          readExecution: reading(workflows, ({ entries, inbox }) => {
            if (!isOfLater) return { entries, inbox };
            return how === "recorded"
              ? { entries: entries.map(entryOfLater), inbox }
              : { entries, inbox: inbox.map(messageOfLater) };
          }),
        },
      })),
    });
    const order = await cluster.workflow(Order).start("1");
    await order.signal("carrier", "ship");
    await cluster.advance("5s");
    isOfLater = true;
    await cluster.crash(0);
    await cluster.restart(0);
    await cluster.advance("5 minutes");
    expect(await order.poll()).toBeUndefined();
    isOfLater = false;
    await cluster.advance("2 minutes");
    expect(await order.poll()).toBe("shipped 1 by ship");
  },
);

const completed = (value: string): JournalEntry["event"] => ({ type: "completed", value });
const runOfLater = {
  number: 1,
  input: LATER,
  version: null,
  state: null,
  consumed: [],
  isCancelled: false,
  children: [],
};

it.each<[string, (entries: readonly JournalEntry[]) => readonly JournalEntry[]]>([
  [
    "an outcome of a step that it does not know",
    ([taken, shipped]) => [taken, { ...shipped, event: { type: "later" } }] as JournalEntry[],
  ],
  [
    "an entry that it does not know",
    (entries) => [...entries, { ...entries[0], ordinal: 90, position: -1, kind: "later" } as never],
  ],
  [
    "the input of a run",
    ([first]) => [
      { ...(first as JournalEntry), kind: "continue", event: completed(JSON.stringify(runOfLater)) },
    ],
  ],
  ["a value", ([taken]) => [{ ...(taken as JournalEntry), event: completed(LATER) }]],
  [
    "a heartbeat",
    (entries) =>
      entries.map((entry) => {
        const { event } = entry;
        return event.type === "attempt-failed"
          ? { ...entry, event: { ...event, lastHeartbeat: LATER } }
          : entry;
      }),
  ],
])("an execution whose release cannot read %s waits, and does nothing twice", async (_, ofLater) => {
  let isOfLater = false;
  const done = { shipped: 0, tries: 0 };
  await using cluster = await createTestCluster({
    runners: 1,
    register: [
      Order.implement({
        activities: {
          flaky: activity({ retries: 1, initialInterval: "1 minute" }, async () => {
            done.tries += 1;
            if (done.tries === 1) throw new Error("not yet");
          }),
        },
        async execute(ctx, id) {
          ctx.now();
          await ctx.run("ship", () => void (done.shipped += 1));
          await ctx.activities.flaky();
          return `shipped ${id}`;
        },
      }),
    ],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        readExecution: reading(workflows, ({ entries, inbox }) => ({
          entries: isOfLater ? ofLater(entries) : entries,
          inbox,
        })),
      },
    })),
  });
  const order = await cluster.workflow(Order).start("1");
  await cluster.advance("5s");
  isOfLater = true;
  await cluster.crash(0);
  await cluster.restart(0);
  await cluster.advance("5 minutes");
  expect(await order.poll()).toBeUndefined();
  isOfLater = false;
  await cluster.advance("2 minutes");
  expect(await order.poll()).toBe("shipped 1");
  expect(done).toEqual({ shipped: 1, tries: 2 });
});

it.each(["input", "watcher"])("an execution waits for a release that can read its %s", async (what) => {
  let isOfLater = false;
  await using cluster = await createTestCluster({
    runners: 1,
    register: [
      Order.implement({
        async execute(ctx, id) {
          await ctx.sleep("1 minute");
          return `shipped ${id}`;
        },
      }),
    ],
    tamper: tampering(({ messages, workflows }) => ({
      messages: {
        async readPending(...given) {
          const page = await messages.readPending(...given);
          return isOfLater && what === "input" ? withPayloadOfLater(page, "execute") : page;
        },
      },
      workflows: {
        readExecution: reading(workflows, ({ entries, inbox }) => ({
          entries,
          inbox: isOfLater && what === "watcher" ? [...inbox, WATCH_OF_LATER] : inbox,
        })),
      },
    })),
  });
  const order = await cluster.workflow(Order).start("1");
  await cluster.advance("5s");
  isOfLater = true;
  await cluster.crash(0);
  await cluster.restart(0);
  await cluster.advance("5 minutes");
  expect(await order.poll()).toBeUndefined();
  isOfLater = false;
  await cluster.advance("2 minutes");
  expect(await order.poll()).toBe("shipped 1");
});

it("an execution that continues as new waits for a release that can read what came meanwhile", async () => {
  let isOfLater = false;
  const packing = Promise.withResolvers<void>();
  const packed = Promise.withResolvers<void>();
  let shipped = 0;
  await using cluster = await createTestCluster({
    runners: 1,
    register: [
      Order.implement({
        async execute(ctx, id) {
          if (id === "1") {
            await ctx.run("pack", () => {
              packing.resolve();
              return packed.promise;
            });
            return ctx.continueAsNew("1, packed");
          }
          await ctx.run("ship", () => void (shipped += 1));
          return `shipped ${id}`;
        },
      }),
    ],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        readExecution: reading(workflows, ({ entries, inbox }) => ({
          entries,
          inbox: isOfLater ? [...inbox, WATCH_OF_LATER] : inbox,
        })),
      },
    })),
  });
  const order = await cluster.workflow(Order).start("1");
  await packing.promise;
  isOfLater = true;
  packed.resolve();
  await cluster.advance("5 minutes");
  expect(await order.poll()).toBeUndefined();
  isOfLater = false;
  await cluster.advance("2 minutes");
  expect(await order.poll()).toBe("shipped 1, packed");
  expect(shipped).toBe(1);
});

it("an execution that was cancelled before it began waits for a release that can read that", async () => {
  const Versioned = defineWorkflow({
    name: "Versioned",
    key: (id: string) => id,
    hashKey: false,
    version: "1",
  });
  let isOfLater = true;
  const beginning = new Door();
  beginning.close();
  await using cluster = await createTestCluster({
    runners: 1,
    register: [Versioned.implement({ execute: (ctx) => ctx.sleep("1 hour") })],
    tamper: tampering((storage) => {
      const { messages, workflows } = storedOfLater("cancel", storage, () => isOfLater);
      return {
        messages,
        workflows: {
          ...workflows,
          async appendJournal(...given) {
            await beginning.passed();
            return storage.workflows.appendJournal(...given);
          },
        },
      };
    }),
  });
  const order = await cluster.workflow(Versioned).start("1");
  await order.cancel("no more");
  await cluster.advance("20s");
  beginning.open();
  await cluster.advance("5 minutes");
  expect(await order.poll()).toBeUndefined();
  isOfLater = false;
  await cluster.advance("2 minutes");
  await expect(order.poll()).rejects.toThrow(/no more/u);
});

it("a fork waits for a release that can read the journal of its origin", async () => {
  let isOfLater = false;
  let reads = 0;
  await using cluster = await createTestCluster({
    runners: 1,
    register: [
      Order.implement({
        async execute(ctx, id) {
          await ctx.run("ship", () => undefined);
          return `shipped ${id}`;
        },
      }),
    ],
    tamper: tampering(({ workflows }) => ({
      workflows: {
        async readExecution(...given) {
          const { entries, inbox } = await workflows.readExecution(...given);
          if (!isOfLater || given[0].executionId !== "1") return { entries, inbox };
          reads += 1;
          // Who asks for the fork is of the later release.
          return reads === 1
            ? { entries, inbox }
            : { entries: entries.map((entry) => ({ ...entry, kind: "later" as never })), inbox };
        },
      },
    })),
  });
  const order = await cluster.workflow(Order).start("1");
  await cluster.advance("5s");
  isOfLater = true;
  const fork = await order.fork({ fromStep: 1, executionId: "2" });
  await cluster.advance("5 minutes");
  expect(await fork.poll()).toBeUndefined();
  isOfLater = false;
  await cluster.advance("2 minutes");
  expect(await fork.poll()).toBe("shipped 1");
});

describe("a signal that was stored and that this release cannot read", () => {
  const start = async (execute: Parameters<typeof Order.implement>[0]["execute"]) => {
    let isOfLater = true;
    const cluster = await createTestCluster({
      runners: 1,
      register: [Order.implement({ execute })],
      tamper: tampering((storage) => storedOfLater("signal", storage, () => isOfLater)),
    });
    const order = await cluster.workflow(Order).start("1");
    return { cluster, order, upgrade: () => void (isOfLater = false) };
  };

  it("reaches the code of one that can", async () => {
    const { cluster, order, upgrade } = await start(async (ctx) => ctx.signal("carrier"));
    await using _ = cluster;
    await cluster.advance("10s");
    await order.signal("carrier", "ship");
    await cluster.advance("5 minutes");
    expect(await order.poll()).toBeUndefined();
    upgrade();
    await cluster.advance("2 minutes");
    expect(await order.poll()).toBe("ship");
  });

  it("does not make it forget that a step has begun", async () => {
    const packing = Promise.withResolvers<void>();
    let cleanedUp = 0;
    const { cluster, order, upgrade } = await start(async (ctx) => {
      try {
        await ctx.run("pack", () => {
          packing.resolve();
          return new Promise<never>(() => undefined);
        });
      } catch (error) {
        cleanedUp += 1;
        throw error;
      }
      return "";
    });
    await using _ = cluster;
    await packing.promise;
    await order.signal("carrier", "ship");
    await cluster.advance("1s");
    await order.cancel("no more");
    upgrade();
    await cluster.advance("2 minutes");
    await expect(order.poll()).rejects.toThrow(/no more/u);
    expect(cleanedUp).toBe(1);
  });
});

/** Executions are read with something in them that is not there. */
function reading(
  workflows: WorkflowStorage,
  change: (stored: StoredExecution) => StoredExecution,
): WorkflowStorage["readExecution"] {
  return async (...given) => change(await workflows.readExecution(...given));
}

/** A message to an execution is stored by its sender, who does not reach the runner, and has a payload of a later release's. */
function storedOfLater(
  tag: string,
  { messages, workflows }: OpenStorage,
  isOfLater: () => boolean,
): Required<Tampered> {
  return {
    messages: {
      async saveRequest(envelope, ...given) {
        if (envelope.tag === tag) await messages.saveRequest(envelope, 0, null);
        return messages.saveRequest(envelope, ...given);
      },
      async readPending(...given) {
        const page = await messages.readPending(...given);
        return isOfLater() ? withPayloadOfLater(page, tag) : page;
      },
    },
    workflows: {
      readExecution: reading(workflows, ({ entries, inbox }) => {
        if (!isOfLater()) return { entries, inbox };
        const later = inbox.map((each) => (each.tag === tag ? { ...each, payload: LATER } : each));
        return { entries, inbox: later };
      }),
    },
  };
}

/** Those of requests with this tag. */
function withPayloadOfLater(page: PendingPage, tag: string): PendingPage {
  const requests = page.requests.map((each) =>
    each.envelope.tag === tag ? { ...each, envelope: { ...each.envelope, payload: LATER } } : each,
  );
  return { ...page, requests };
}
