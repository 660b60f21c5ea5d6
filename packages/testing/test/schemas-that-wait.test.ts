// A schema may ask somebody, who never answers: its caller is not held for longer than the call's limits say.

import {
  defineEntity,
  defineWorkflow,
  query,
  rpc,
  type EntityClient,
  type HoldfastError,
  type Schema,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";

/** Parsings that go through before one never ends. */
let left = Number.POSITIVE_INFINITY;
let handled = 0;
beforeEach(() => {
  left = Number.POSITIVE_INFINITY;
  handled = 0;
});

const text: Schema<string> = {
  "~standard": {
    version: 1,
    vendor: "tests",
    validate: async (value) => {
      left -= 1;
      return left < 0 ? new Promise(() => undefined) : { value: value as string };
    },
  },
};

/** One that answers at once. */
const plain: Schema<string> = {
  "~standard": { version: 1, vendor: "tests", validate: (value) => ({ value: value as string }) },
};

const Desk = defineEntity({
  name: "Desk",
  rpcs: {
    ask: rpc({ input: text }),
    keep: rpc({ input: text, persisted: true }),
    charge: rpc({ input: text, persisted: true, primaryKey: (id) => id }),
    listed: rpc({ input: text, output: plain, stream: true }),
    answer: rpc({ output: text }),
    elements: rpc({ output: text, stream: true }),
  },
});
const answer = (): string => {
  handled += 1;
  return "answered";
};
async function* elements(): AsyncGenerator<string> {
  yield answer();
}
const desk = Desk.implement({
  ask: () => void answer(),
  keep: () => void answer(),
  charge: () => void answer(),
  listed: elements,
  answer,
  elements,
});

const Errand = defineWorkflow({
  name: "Errand",
  input: text,
  output: text,
  key: (id: string) => id,
  signals: { go: text },
  queries: { where: query({ input: text, output: text }) },
});
const errand = Errand.implement({
  queries: { where: () => "there" },
  async execute(ctx) {
    await ctx.signal("go");
    return "done";
  },
});

interface Limits {
  readonly timeout?: string;
  readonly signal?: AbortSignal;
}
const start = (cluster: TestCluster) => cluster.workflow(Errand).start("a");
type Handle = Awaited<ReturnType<typeof start>>;
type Desks = EntityClient<(typeof Desk)["rpcs"]>;

const NOT_RUN = /It did not run/u;
const MAY_HAVE_RUN = /It may have run/u;
const READ = /It changes nothing/u;

/** What calls that can have no answer say, whose time is over, whose signal is aborted, and was aborted before. */
async function ended(
  cluster: TestCluster,
  call: (limits: Limits) => Promise<unknown>,
): Promise<readonly string[]> {
  const controller = new AbortController();
  const failure = (outcome: Promise<unknown>): Promise<HoldfastError> =>
    outcome.then(
      () => {
        throw new Error("it did not fail");
      },
      (error: HoldfastError) => error,
    );
  const stuck = left;
  const late = failure(call({ timeout: "5s" }));
  await cluster.advance("6s");
  const { name, message } = await late;
  expect(name).toBe("TimeoutError");
  left = stuck;
  const aborted = failure(call({ signal: controller.signal }));
  await cluster.advance("1s");
  controller.abort(new Error("enough"));
  const interrupted = await aborted;
  expect(interrupted).toMatchObject({ name: "InterruptedError", cause: { message: "enough" } });
  left = stuck;
  const before = await failure(call({ signal: controller.signal }));
  expect(before.name).toBe("InterruptedError");
  return [message, interrupted.message, before.message];
}

const first = async (elementsOf: AsyncIterableIterator<unknown>): Promise<unknown> => elementsOf.next();

describe("a schema that never comes to an end", () => {
  it.each<[string, RegExp, (desks: Desks, limits: Limits) => Promise<unknown>]>([
    ["a volatile call", NOT_RUN, ({ ask }, limits) => ask("a", limits)],
    ["a notification", NOT_RUN, ({ ask }, limits) => ask.notify("a", limits)],
    ["a persisted call", NOT_RUN, ({ keep }, limits) => keep("a", limits)],
    ["one with a key", MAY_HAVE_RUN, ({ keep }, limits) => keep("a", { ...limits, idempotencyKey: "k" })],
    ["one with a primary key", MAY_HAVE_RUN, ({ charge }, limits) => charge("a", limits)],
    ["a stream", NOT_RUN, ({ listed }, limits) => first(listed("a", limits))],
  ])("holds %s by its input no longer than the call's limits: nothing was sent", async (_, says, call) => {
    await using cluster = await createTestCluster({ register: [desk] });
    left = 0;
    for (const message of await ended(cluster, (limits) => call(cluster.entity(Desk, "a"), limits)))
      expect(message).toMatch(says);
    expect(handled).toBe(0);
  });

  it.each<[string, (desks: Desks, limits: Limits) => Promise<unknown>]>([
    ["a call", (desks, limits) => desks.answer(undefined, limits)],
    ["a stream", (desks, limits) => first(desks.elements(undefined, limits))],
  ])("holds %s by its output no longer than the call's limits: it may have run", async (_, call) => {
    await using cluster = await createTestCluster({ register: [desk] });
    // The runner's own look at it goes through.
    left = 1;
    const [late, aborted] = await ended(cluster, (limits) => call(cluster.entity(Desk, "a"), limits));
    expect(late).toMatch(MAY_HAVE_RUN);
    expect(aborted).toMatch(MAY_HAVE_RUN);
    expect(handled).toBe(2);
  });

  it("has no time of its own: what it took is taken from the call's", async () => {
    const asked = Promise.withResolvers<void>();
    const slow: Schema<string> = {
      "~standard": {
        version: 1,
        vendor: "tests",
        validate: async (value) => {
          await asked.promise;
          return { value: value as string };
        },
      },
    };
    const Slow = defineEntity({ name: "Slow", rpcs: { wait: rpc({ input: slow }) } });
    const implementation = Slow.implement({ wait: () => new Promise<void>(() => undefined) });
    await using cluster = await createTestCluster({ register: [implementation] });
    const began = cluster.now();
    let tookMs = 0;
    const late = cluster
      .entity(Slow, "a")
      .wait("a", { timeout: "5s" })
      .catch((error: HoldfastError) => {
        tookMs = cluster.now() - began;
        return error.message;
      });
    await cluster.advance("4s");
    asked.resolve();
    await cluster.advance("10s");
    expect(await late).toMatch(MAY_HAVE_RUN);
    expect(tookMs).toBe(5_000);
  });

  it.each<[string, number, RegExp, RegExp, (handle: Handle, limits: Limits) => Promise<unknown>]>([
    ["a signal", 0, NOT_RUN, NOT_RUN, (handle, limits) => handle.signal("go", "a", limits)],
    ["a query", 0, READ, NOT_RUN, (handle, limits) => handle.query("where", "a", limits)],
    // The caller's and the runner's look at the question, and the runner's at the answer, go through.
    ["an answer", 3, READ, MAY_HAVE_RUN, (handle, limits) => handle.query("where", "a", limits)],
  ])("holds %s of a handle no longer than its limits", async (_, goThrough, whenLate, whenAborted, call) => {
    await using cluster = await createTestCluster({ register: [errand] });
    const handle = await start(cluster);
    left = goThrough;
    const [late, aborted] = await ended(cluster, (limits) => call(handle, limits));
    expect(late).toMatch(whenLate);
    expect(aborted).toMatch(whenAborted);
    left = Number.POSITIVE_INFINITY;
    await handle.signal("go", "now");
    await cluster.advance("1s");
    expect(await handle.result()).toBe("done");
  });

  it("holds the start of an execution, and the wait for its result, no longer than their limits", async () => {
    await using cluster = await createTestCluster({ register: [errand] });
    const orders = cluster.workflow(Errand);
    left = 0;
    await ended(cluster, (limits) => orders.start("a", limits));
    await ended(cluster, (limits) => orders.execute("a", limits));
    left = Number.POSITIVE_INFINITY;
    expect(await orders.poll("a")).toBeUndefined();
    const handle = await orders.start("a");
    await handle.signal("go", "now");
    await cluster.advance("1s");
    left = 0;
    await ended(cluster, (limits) => handle.result(limits));
    // The caller's own look at the input goes through.
    left = 1;
    await ended(cluster, (limits) => orders.execute("a", limits));
  });
});

describe("a schema that takes a while", () => {
  /** Takes until it is told to go on. */
  const slowly = (goneOn: () => Promise<void>): Schema<string> => ({
    "~standard": {
      version: 1,
      vendor: "tests",
      validate: async (value) => {
        await goneOn();
        return { value: value as string };
      },
    },
  });

  it("is waited for where an element came in time and is asked for later, but no longer than its time again", async () => {
    let goneOn = Promise.resolve();
    const Log = defineEntity({
      name: "Log",
      rpcs: { lines: rpc({ output: slowly(() => goneOn), stream: true }) },
    });
    const log = Log.implement({
      async *lines() {
        yield* ["1", "2", "3"];
      },
    });
    await using cluster = await createTestCluster({ register: [log] });
    const lines = cluster.entity(Log, "a").lines(undefined, { timeout: "5s" });
    expect(await lines.next()).toEqual({ done: false, value: "1" });
    await cluster.advance("6s");
    const looked = Promise.withResolvers<void>();
    goneOn = looked.promise;
    const second = lines.next();
    await cluster.advance("1s");
    looked.resolve();
    expect(await second).toEqual({ done: false, value: "2" });
    goneOn = new Promise(() => undefined);
    const third = expect(lines.next()).rejects.toMatchObject({ name: "TimeoutError" });
    await cluster.advance("6s");
    await third;
  });

  it("and fails, after the call's limits were refused, rejects nothing that nobody waits for", async () => {
    const rejections: unknown[] = [];
    const note = (reason: unknown): void => void rejections.push(reason);
    process.on("unhandledRejection", note);
    onTestFinished(() => void process.off("unhandledRejection", note));
    const looked = Promise.withResolvers<void>();
    const Notes = defineEntity({
      name: "Notes",
      rpcs: { write: rpc({ input: slowly(() => looked.promise) }) },
    });
    await using cluster = await createTestCluster({
      register: [Notes.implement({ write: () => undefined })],
    });
    const written = cluster.entity(Notes, "a").write("a", { timeout: "soon" });
    await expect(written).rejects.toMatchObject({ name: "ConfigError", option: "timeout" });
    looked.reject(new Error("nobody is there"));
    await cluster.advance("1s");
    expect(rejections).toEqual([]);
  });

  it("lets no call of one turn overtake another, whatever limits each has", async () => {
    const order: string[] = [];
    const Notes = defineEntity({
      name: "Notes",
      rpcs: { write: rpc({ input: text, persisted: true }) },
    });
    const notes = Notes.implement({ write: (what) => void order.push(what) });
    await using cluster = await createTestCluster({ register: [notes] });
    const { write } = cluster.entity(Notes, "a");
    const { signal } = new AbortController();
    const all = [write("1", { timeout: "5s" }), write("2"), write("3", { signal }), write("4")];
    await Promise.all(all);
    expect(order).toEqual(["1", "2", "3", "4"]);
  });

  it("lets no signal overtake another, whatever limits each has", async () => {
    const Inbox = defineWorkflow({
      name: "Inbox",
      input: plain,
      output: plain,
      key: (id) => id,
      signals: { letter: text },
    });
    const inbox = Inbox.implement({
      async execute(ctx) {
        const letters: string[] = [];
        while (letters.length < 3) letters.push(await ctx.signal("letter"));
        return letters.join();
      },
    });
    await using cluster = await createTestCluster({ register: [inbox] });
    const handle = await cluster.workflow(Inbox).start("a");
    const sent = [handle.signal("letter", "1", { timeout: "5s" }), handle.signal("letter", "2")];
    await Promise.all([...sent, handle.signal("letter", "3", { timeout: "5s" })]);
    expect(await handle.result()).toBe("1,2,3");
  });
});
