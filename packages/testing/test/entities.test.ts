import {
  DeadLetteredError,
  defineEntity,
  defineRpcGroup,
  InterruptedError,
  rpc,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

/** A gate that handlers wait at until the test opens it. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

describe("an entity", () => {
  it.each([1, 3, 0])(
    "handles at most its concurrency of %i at a time, over all runners (INV-5)",
    async (concurrency) => {
      let running = 0;
      let most = 0;
      const Busy = defineEntity({
        name: "Busy",
        concurrency,
        rpcs: { work: rpc<number, number>({ persisted: true }) },
      });
      const busy = Busy.implement({
        async work(n: number) {
          running += 1;
          most = Math.max(most, running);
          for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
          running -= 1;
          return n;
        },
      });
      await using cluster = await createTestCluster({ runners: 3, register: [busy] });
      const numbers = Array.from({ length: 20 }, (_, n) => n);
      await expect(Promise.all(numbers.map((n) => cluster.entity(Busy, "one").work(n)))).resolves.toEqual(
        numbers,
      );
      if (concurrency === 0) expect(most).toBeGreaterThan(3);
      else expect(most).toBe(concurrency);
    },
  );

  it("handles a sender's persisted requests in the order in which they were accepted, over crashes (INV-4)", async () => {
    const seen: number[] = [];
    const List = defineEntity({
      name: "List",
      mailboxCapacity: 1_000,
      rpcs: { add: rpc<number, void>({ persisted: true }) },
    });
    const list = List.implement({
      async add(n: number) {
        for (let turn = 0; turn < n % 5; turn += 1) await Promise.resolve();
        if (!seen.includes(n)) seen.push(n);
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [list], seed: 11 });
    for (let n = 0; n < 60; n += 1) {
      await cluster.entity(List, "l").add.notify(n);
      if (n % 20 === 10) {
        const owner = cluster.runners.findIndex(
          (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
        );
        if (owner !== -1) await cluster.crash(owner);
      }
    }
    await cluster.advance("2 minutes");
    for (const [index, runner] of cluster.runners.entries())
      if (!runner.isAlive) await cluster.restart(index);
    await cluster.advance("1 minute");
    expect(seen).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });

  it("goes through any number that wait and end at once, in order", async () => {
    const count = 20_000;
    const first = gate();
    const seen: number[] = [];
    const Desk = defineEntity({
      name: "Desk",
      mailboxCapacity: count,
      rpcs: { ask: rpc<number, number>() },
    });
    const desk = Desk.implement({
      ask: (n) => {
        seen.push(n);
        return n === 0 ? first.opened.then(() => n) : n;
      },
    });
    await using cluster = await createTestCluster({ runners: 1, register: [desk] });
    const numbers = Array.from({ length: count }, (_, n) => n);
    const answers = numbers.map((n) => cluster.entity(Desk, "one").ask(n));
    await cluster.advance("1s");
    expect(seen).toEqual([0]);
    first.open();
    await expect(Promise.all(answers)).resolves.toEqual(numbers);
    expect(seen).toEqual(numbers);
  });

  it("leaves memory when it is idle, after its onEvict, and comes back fresh", async () => {
    const events: string[] = [];
    const Room = defineEntity({ name: "Room", maxIdleTime: "10s", rpcs: { enter: rpc<void, number>() } });
    const room = Room.implement((entity) => {
      let visitors = 0;
      entity.onEvict(() => void events.push(`${entity.entityId} leaves with ${visitors}`));
      return { enter: () => (visitors += 1) };
    });
    await using cluster = await createTestCluster({ register: [room] });
    await cluster.entity(Room, "a").enter();
    await expect(cluster.entity(Room, "a").enter()).resolves.toBe(2);
    await cluster.advance("9s");
    expect(events).toEqual([]);
    await cluster.advance("20s");
    expect(events).toEqual(["a leaves with 2"]);
    await expect(cluster.entity(Room, "a").enter()).resolves.toBe(1);
  });

  it.each(["a value", "a promise"])(
    "that is called while its onEvict runs stays, with fresh handlers, which return %s",
    async (what) => {
      const leaving = gate();
      let leaves = 0;
      const Room = defineEntity({ name: "Room", maxIdleTime: "10s", rpcs: { enter: rpc<void, number>() } });
      const room = Room.implement((entity) => {
        let visitors = 0;
        entity.onEvict(async () => {
          leaves += 1;
          await leaving.opened;
        });
        const enter = (): number => (visitors += 1);
        return { enter: what === "a value" ? enter : async () => enter() };
      });
      await using cluster = await createTestCluster({ runners: 1, register: [room] });
      await cluster.entity(Room, "a").enter();
      await cluster.advance("30s");
      expect(leaves).toBe(1);
      const second = cluster.entity(Room, "a").enter();
      await cluster.advance("1s");
      leaving.open();
      await expect(second).resolves.toBe(1);
      await expect(cluster.entity(Room, "a").enter()).resolves.toBe(2);
      await cluster.advance("30s");
      expect(leaves).toBe(2);
    },
  );

  it("answers the rpcs of its groups", async () => {
    const Audit = defineRpcGroup({
      name: "Audit",
      rpcs: { log: rpc<string, void>(), entries: rpc<void, string[]>() },
    });
    const User = defineEntity({ name: "User", groups: [Audit], rpcs: { rename: rpc<string, string>() } });
    const audit = Audit.implement(() => {
      const entries: string[] = [];
      return { log: (entry: string) => void entries.push(entry), entries: () => entries };
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [User.implement({ rename: (to: string) => to }, { groups: [audit] })],
    });
    const user = cluster.entity(User, "u1");
    await user.log("login");
    await expect(user.rename("Kim")).resolves.toBe("Kim");
    await expect(user.entries()).resolves.toEqual(["login"]);
  });

  it("lets its protected rpcs be called from inside", async () => {
    const Index = defineEntity({
      name: "Index",
      rpcs: { rebuild: rpc<void, string>({ visibility: "protected" }), ask: rpc<void, string>() },
    });
    const index = Index.implement({
      rebuild: () => "rebuilt",
      ask: (_input, ctx: HandlerContext) => ctx.entity(Index, "other").rebuild(),
    });
    await using cluster = await createTestCluster({ runners: 3, register: [index] });
    await expect(cluster.entity(Index, "one").ask()).resolves.toBe("rebuilt");
  });
});

describe("a duplicate", () => {
  it("by key joins the request that runs, and gets its reply later, too", async () => {
    const { opened, open } = gate();
    let runs = 0;
    const Till = defineEntity({
      name: "Till",
      rpcs: { pay: rpc<{ id: string }, number>({ persisted: true, primaryKey: ({ id }) => id }) },
    });
    const till = Till.implement({
      async pay() {
        runs += 1;
        await opened;
        return runs;
      },
    });
    await using cluster = await createTestCluster({ runners: 3, register: [till] });
    const calls = [1, 2, 3].map(() => cluster.entity(Till, "t").pay({ id: "p-1" }));
    await cluster.advance("1s");
    open();
    await expect(Promise.all(calls)).resolves.toEqual([1, 1, 1]);
    await expect(cluster.entity(Till, "t").pay({ id: "p-1" })).resolves.toBe(1);
    await expect(cluster.entity(Till, "t").pay({ id: "p-2" })).resolves.toBe(2);
  });
});

describe("a scheduled request", () => {
  it("is never early and survives its owner (INV-7)", async () => {
    const at: number[] = [];
    const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, void>({ persisted: true }) } });
    let now: () => number = () => 0;
    const bell = Bell.implement({ ring: () => void at.push(now()) });
    await using cluster = await createTestCluster({ runners: 2, register: [bell], seed: 2 });
    now = () => cluster.now();
    const due = cluster.now() + 3_600_000;
    await cluster.entity(Bell, "b").ring.notify(undefined, { deliverAt: new Date(due) });
    await cluster.entityClient("Bell").notifyAt("b", "ring", undefined, new Date(due + 1_000));
    await cluster.advance("59 minutes");
    expect(at).toEqual([]);
    await cluster.crash(0);
    await cluster.advance("2 minutes");
    expect(at).toHaveLength(2);
    for (const [index, time] of at.entries()) {
      expect(time).toBeGreaterThanOrEqual(due + index * 1_000);
      expect(time).toBeLessThan(due + index * 1_000 + 1_000);
    }
  });

  it("brings its entity into memory when it is due, and not before", async () => {
    const heard: string[] = [];
    const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, void>({ persisted: true }) } });
    const bell = Bell.implement({ ring: async (_input, ctx) => void heard.push(ctx.entityId) });
    await using cluster = await createTestCluster({ runners: 2, register: [bell] });
    const counted = (name: string): number =>
      cluster.runners.reduce((sum, runner) => sum + (runner.metrics.snapshot()[name] ?? 0), 0);
    const ids = Array.from({ length: 50 }, (_, index) => `b${index}`);
    const deliverAt = new Date(cluster.now() + 60_000);
    for (const id of ids) await cluster.entity(Bell, id).ring.notify(undefined, { deliverAt });
    expect([counted("activations"), counted("activeEntities")]).toEqual([0, 0]);
    await cluster.advance("2 minutes");
    expect(heard.toSorted()).toEqual(ids.toSorted());
    expect(counted("activations")).toBe(ids.length);
  });
});

describe("a persisted request that fails", () => {
  class Flaky extends Error {
    readonly retryable = true;
  }

  it("is attempted again while it asks for it, and then is a dead letter that can be requeued or dropped", async () => {
    const attempts: number[] = [];
    let isBroken = true;
    const Mail = defineEntity({ name: "Mail", rpcs: { send: rpc<string, string>({ persisted: true }) } });
    const mail = Mail.implement({
      send(to: string, ctx: HandlerContext) {
        attempts.push(ctx.attempt);
        if (isBroken) throw new Flaky("the server is away");
        return `sent to ${to}`;
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [mail],
      storageMessageMaxRetries: 3,
    });
    const lettered: string[] = [];
    cluster.runners.forEach((runner) =>
      runner.member.events.on("deadLettered", ({ tag }) => lettered.push(tag)),
    );
    const call = cluster.entity(Mail, "m").send("kim", { idempotencyKey: "k" });
    const outcome = call.catch((reason: unknown) => reason);
    await cluster.advance("1 minute");
    const error = await outcome;
    expect(error).toBeInstanceOf(DeadLetteredError);
    expect((error as Error).message).toMatch(
      /^Mail\/m\.send failed in 4 attempts and is a dead letter now .*Last: the server is away\. Requeue or drop it with cluster\.deadLetters\.$/u,
    );
    expect(attempts).toEqual([1, 2, 3, 4]);
    expect(lettered).toEqual(["send"]);

    const [letter] = await cluster.deadLetters.list();
    expect(letter).toMatchObject({
      entityType: "Mail",
      entityId: "m",
      tag: "send",
      input: "kim",
      attempts: 4,
    });
    await expect(cluster.entity(Mail, "m").send("kim", { idempotencyKey: "k" })).rejects.toBeInstanceOf(
      DeadLetteredError,
    );
    isBroken = false;
    await expect(cluster.deadLetters.requeue(letter?.requestId ?? "")).resolves.toBe(true);
    await cluster.advance("5s");
    await expect(cluster.entity(Mail, "m").send("kim", { idempotencyKey: "k" })).resolves.toBe("sent to kim");
    expect(await cluster.deadLetters.list()).toEqual([]);
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(false);
  });

  it("with an error of its own gets that error as its reply, once", async () => {
    let runs = 0;
    class NoFunds extends Error {
      override readonly name = "NoFunds";
      readonly missing: number;
      constructor(missing: number) {
        super(`${missing} cents are missing`);
        this.missing = missing;
      }
    }
    const Purse = defineEntity({
      name: "Purse",
      rpcs: { take: rpc<number, number>({ persisted: true, errors: [NoFunds] }) },
    });
    const purse = Purse.implement({
      take(cents: number) {
        runs += 1;
        throw new NoFunds(cents);
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [purse] });
    for (let call = 0; call < 2; call += 1) {
      const error = await cluster
        .entity(Purse, "p")
        .take(5, { idempotencyKey: "k" })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(NoFunds);
      expect(error).toMatchObject({ missing: 5, message: "5 cents are missing" });
    }
    expect(runs).toBe(1);
  });

  it("because it kills its runner each time ends as a dead letter", async () => {
    let begun = 0;
    const Bomb = defineEntity({ name: "Bomb", rpcs: { tick: rpc<void, void>({ persisted: true }) } });
    const bomb = Bomb.implement({
      async tick() {
        begun += 1;
        await new Promise<void>(() => undefined);
      },
    });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [bomb],
      storageMessageMaxRetries: 2,
      runnerLockTtl: "3s",
    });
    const call = cluster.entity(Bomb, "b").tick();
    const outcome = call.catch((reason: unknown) => reason);
    for (let crash = 0; crash < 4; crash += 1) {
      await cluster.advance("10s");
      const owner = cluster.runners.findIndex(
        (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
      );
      if (owner === -1) break;
      await cluster.crash(owner);
      await cluster.restart(owner);
    }
    await cluster.advance("30s");
    expect(await outcome).toBeInstanceOf(DeadLetteredError);
    expect(begun).toBe(3);
  });
});

describe("a caller that leaves", () => {
  it("interrupts the handler, unless it is uninterruptible", async () => {
    const ended: string[] = [];
    const Long = defineEntity({
      name: "Long",
      concurrency: 0,
      rpcs: { wait: rpc<string, void>(), hold: rpc<string, void>({ uninterruptible: true }) },
    });
    const untilAborted = (name: string, ctx: HandlerContext): Promise<void> =>
      new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve(void ended.push(name))));
    const long = Long.implement({ wait: untilAborted, hold: untilAborted });
    await using cluster = await createTestCluster({
      runners: 2,
      register: [long],
      entityTerminationTimeout: "1s",
    });
    const abort = new AbortController();
    const calls = [
      cluster.entity(Long, "l").wait("by timeout", { timeout: "1s" }),
      cluster.entity(Long, "l").wait("by signal", { signal: abort.signal }),
      cluster.entity(Long, "l").hold("not at all", { timeout: "1s" }),
    ].map((call) => call.catch((error: Error) => error));
    await cluster.advance("500ms");
    abort.abort();
    const [timedOut, aborted] = await Promise.all(calls);
    await cluster.advance("1s");
    expect(timedOut).toMatchObject({ code: "TIMEOUT" });
    expect(aborted).toBeInstanceOf(InterruptedError);
    expect(ended.toSorted()).toEqual(["by signal", "by timeout"]);
  });
});

describe("a call whose signal was aborted before", () => {
  it("is interrupted, and its handler never begins", async () => {
    let begun = 0;
    const Near = defineEntity({
      name: "Near",
      rpcs: { ask: rpc<void, number>(), keep: rpc<void, number>({ persisted: true }) },
    });
    const begin = (): number => (begun += 1);
    const Asker = defineEntity({ name: "Asker", rpcs: { ask: rpc<void, string[]>() } });
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Near.implement({ ask: begin, keep: begin }),
        // From within the runner, where nothing is between a call and its handler.
        Asker.implement({
          ask: (_input, { entity }) => {
            const near = entity(Near, "n");
            const calls = [near.ask, near.ask.notify, near.keep, near.keep.notify];
            return Promise.all(
              calls.map((call) =>
                Promise.resolve(call(undefined, { signal: AbortSignal.abort() })).then(
                  String,
                  (error: Error) => error.name,
                ),
              ),
            );
          },
        }),
      ],
    });
    const interrupted = Array.from({ length: 4 }, () => "InterruptedError");
    await expect(cluster.entity(Asker, "a").ask()).resolves.toEqual(interrupted);
    await cluster.advance("10s");
    expect(begun).toBe(0);
  });
});

describe("a call whose signal its handler aborts as it begins", () => {
  it("is interrupted, and so is the handler", async () => {
    const abort = new AbortController();
    let isInterrupted = false;
    const Near = defineEntity({ name: "Near", rpcs: { wait: rpc<void, void>() } });
    const Asker = defineEntity({ name: "Asker", rpcs: { ask: rpc<void, string>() } });
    await using cluster = await createTestCluster({
      runners: 1,
      register: [
        Near.implement({
          wait: (_input, { signal }) =>
            new Promise((resolve) => {
              signal.addEventListener("abort", () => {
                isInterrupted = true;
                resolve();
              });
              abort.abort();
            }),
        }),
        // From within the runner, where the handler begins before the call is on its way.
        Asker.implement({
          ask: (_input, { entity }) =>
            entity(Near, "n")
              .wait(undefined, { signal: abort.signal })
              .then(String, (error: Error) => error.name),
        }),
      ],
    });
    await expect(cluster.entity(Asker, "a").ask()).resolves.toBe("InterruptedError");
    expect(isInterrupted).toBe(true);
  });
});

describe("the untyped client", () => {
  it("has its seven calls", async () => {
    const seen: unknown[] = [];
    const Any = defineEntity({
      name: "Any",
      rpcs: {
        echo: rpc<unknown, unknown>({ persisted: true }),
        count: rpc<number, number>({ stream: true }),
      },
    });
    const any = Any.implement({
      echo(value: unknown) {
        seen.push(value);
        return value;
      },
      async *count(to: number) {
        for (let n = 0; n < to; n += 1) yield n;
      },
    });
    await using cluster = await createTestCluster({ runners: 2, register: [any] });
    const client = cluster.entityClient("Any");
    await expect(client.send("a", "echo", 1)).resolves.toBe(1);
    await expect(client.sendPersisted("a", "echo", 2, { uninterruptible: true })).resolves.toBe(2);
    await client.notify("a", "echo", 3);
    await client.notifyPersisted("a", "echo", 4);
    const soon = new Date(cluster.now() + 1_000);
    const scheduled = client.sendAt("a", "echo", 5, soon);
    await client.notifyAt("a", "echo", 6, soon);
    await cluster.advance("3s");
    await expect(scheduled).resolves.toBe(5);
    const counted: unknown[] = [];
    for await (const n of client.sendStream("a", "count", 3)) counted.push(n);
    expect(counted).toEqual([0, 1, 2]);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
  });
});
