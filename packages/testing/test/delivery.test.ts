import {
  DeadLetteredError,
  defineEntity,
  MailboxFullError,
  rpc,
  RunnerUnavailableError,
  type HandlerContext,
} from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";

function activeRunner(cluster: TestCluster): number {
  return cluster.runners.findIndex(
    (runner) => runner.isAlive && (runner.metrics.snapshot()["activeEntities"] ?? 0) > 0,
  );
}

describe("a persisted request", () => {
  const Job = defineEntity({ name: "Job", rpcs: { run: rpc<string, string>({ persisted: true }) } });

  it.each([1, 2, 3])(
    "is answered although its owner crashes while it runs, and the next one, with seed %i (INV-2)",
    async (seed) => {
      const attempts: number[] = [];
      const job = Job.implement({
        async run(text: string, ctx: HandlerContext) {
          attempts.push(ctx.attempt);
          if (attempts.length <= 2) await new Promise<void>(() => undefined);
          return text;
        },
      });
      await using cluster = await createTestCluster({ runners: 3, register: [job], seed });
      const call = cluster.entity(Job, "j").run("done");
      for (const crash of [1, 2]) {
        await cluster.advance("1s");
        expect(attempts).toHaveLength(crash);
        await cluster.crash(activeRunner(cluster));
        await cluster.advance("40s"); // runnerLockTtl is 30s
      }
      await expect(call).resolves.toBe("done");
      expect(attempts).toEqual([1, 2, 3]);
    },
  );

  it("outlives every process, its caller's interest included", async () => {
    const ran: string[] = [];
    await using cluster = await createTestCluster({
      runners: 2,
      register: [Job.implement({ run: (text) => (ran.push(text), text) })],
    });
    await cluster.crash(0);
    await cluster.crash(1);
    const accepted = cluster.entity(Job, "j").run.notify("kept", { idempotencyKey: "k" });
    await cluster.advance("30s");
    await accepted;
    expect(ran).toEqual([]);
    await Promise.all([cluster.restart(0), cluster.restart(1)]);
    await cluster.advance("1 minute");
    expect(ran).toEqual(["kept"]);
  });

  it("is a request of its own for each entity, each rpc and each key", async () => {
    const ran: string[] = [];
    const Till = defineEntity({
      name: "Till",
      rpcs: {
        pay: rpc<number, number>({ persisted: true }),
        refund: rpc<number, number>({ persisted: true }),
      },
    });
    const till = Till.implement({
      pay: (n, ctx) => ran.push(`${ctx.entityId} pay ${n}`),
      refund: (n, ctx) => ran.push(`${ctx.entityId} refund ${n}`),
    });
    await using cluster = await createTestCluster({ runners: 2, register: [till] });
    for (const again of [1, 2]) {
      await cluster.entity(Till, "a").pay(again, { idempotencyKey: "x" });
      await cluster.entity(Till, "b").pay(again, { idempotencyKey: "x" });
      await cluster.entity(Till, "a").refund(again, { idempotencyKey: "x" });
      await cluster.entity(Till, "a").pay(again, { idempotencyKey: "y" });
    }
    expect(ran).toEqual(["a pay 1", "b pay 1", "a refund 1", "a pay 1"]);
  });

  it("is refused by a full mailbox, and then was not accepted", async () => {
    let release: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (release = resolve));
    const ran: number[] = [];
    const Slow = defineEntity({
      name: "Slow",
      mailboxCapacity: 2,
      rpcs: { work: rpc<number, number>({ persisted: true }) },
    });
    const slow = Slow.implement({
      async work(n: number) {
        ran.push(n);
        await opened;
        return n;
      },
    });
    await using cluster = await createTestCluster({ register: [slow] });
    const entity = cluster.entity(Slow, "s");
    const calls = [0, 1, 2].map((n) => entity.work(n));
    const refused = entity.work(3);
    await expect(refused).rejects.toBeInstanceOf(MailboxFullError);
    await expect(refused).rejects.toThrow(/Slow\/s.*2/u);
    release();
    await expect(Promise.all(calls)).resolves.toEqual([0, 1, 2]);
    await cluster.advance("5s");
    expect(ran).toEqual([0, 1, 2]);
  });

  it("of an entity without a bound runs beside all others, however many come at once", async () => {
    let running = 0;
    let most = 0;
    let release: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => (release = resolve));
    const Wide = defineEntity({
      name: "Wide",
      mailboxCapacity: 2,
      concurrency: 0,
      rpcs: { work: rpc<number, number>({ persisted: true }) },
    });
    const wide = Wide.implement({
      async work(n) {
        running += 1;
        most = Math.max(most, running);
        await opened;
        return n;
      },
    });
    await using cluster = await createTestCluster({ register: [wide] });
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    const calls = Promise.all(numbers.map((n) => cluster.entity(Wide, "w").work(n)));
    await cluster.advance("1s");
    expect(most).toBe(50);
    release();
    await expect(calls).resolves.toEqual(numbers);
  });

  it("that asks to be repeated is, each time later, and its dead letter can be dropped", async () => {
    const at: number[] = [];
    let now = (): number => 0;
    const job = Job.implement({
      run() {
        at.push(now());
        throw Object.assign(new Error("not yet"), { retryable: true });
      },
    });
    await using cluster = await createTestCluster({ register: [job], storageMessageMaxRetries: 5 });
    now = () => cluster.now();
    const lettered: string[] = [];
    cluster.events.on("deadLettered", ({ address, tag }) => lettered.push(`${address.entityId} ${tag}`));
    const outcome = cluster
      .entity(Job, "j")
      .run("x", { idempotencyKey: "k" })
      .catch((error: unknown) => error);
    await cluster.advance("2 minutes");
    expect(await outcome).toBeInstanceOf(DeadLetteredError);
    const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(pauses).toHaveLength(5);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses[4]).toBeGreaterThan(pauses[0] ?? 0);
    expect(lettered).toEqual(["j run"]);
    const [letter] = await cluster.deadLetters.list();
    await expect(cluster.deadLetters.drop(letter?.requestId ?? "")).resolves.toBe(true);
    expect(await cluster.deadLetters.list()).toEqual([]);
    await cluster.advance("1 minute");
    expect(at, "it is gone for good").toHaveLength(6);
  });

  it.each([0, 1, 2])(
    "that is scheduled comes once, and not early, whoever crashes before: runner %i (INV-7)",
    async (runner) => {
      const at: string[] = [];
      let now = (): number => 0;
      const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, string>({ persisted: true }) } });
      const bell = Bell.implement({
        ring: (_input, ctx) => (
          at.push(`${ctx.entityId} ${now() - (ctx.deliverAt?.getTime() ?? 0)}`),
          "rang"
        ),
      });
      await using cluster = await createTestCluster({ runners: 3, register: [bell] });
      now = () => cluster.now();
      const due = new Date(cluster.now() + 600_000);
      const calls = ["a", "b", "c", "d", "e", "f"].map((id) =>
        cluster.entity(Bell, id).ring(undefined, { deliverAt: due }),
      );
      await cluster.advance("5 minutes");
      await cluster.crash(runner);
      await cluster.advance("4 minutes");
      await cluster.restart(runner);
      expect(at).toEqual([]);
      await cluster.advance("2 minutes");
      await expect(Promise.all(calls)).resolves.toEqual(calls.map(() => "rang"));
      expect(at.toSorted()).toEqual(["a 0", "b 0", "c 0", "d 0", "e 0", "f 0"]);
    },
  );
});

describe("a volatile request", () => {
  const Dial = defineEntity({
    name: "Dial",
    concurrency: 0,
    rpcs: { turn: rpc<number, number>(), hang: rpc<void, void>() },
  });
  const dial = (turned: Map<number, number>) =>
    Dial.implement({
      turn(n) {
        turned.set(n, (turned.get(n) ?? 0) + 1);
        return n;
      },
      hang: () => new Promise<void>(() => undefined),
    });

  it("runs once although every message comes twice", async () => {
    const turned = new Map<number, number>();
    await using cluster = await createTestCluster({ runners: 3, register: [dial(turned)] });
    cluster.faults({ duplicate: 1, delay: ["0ms", "40ms"] });
    for (let n = 0; n < 30; n += 1) await expect(cluster.entity(Dial, `d${n % 4}`).turn(n)).resolves.toBe(n);
    expect([...turned.values()].every((times) => times === 1)).toBe(true);
  });

  it("runs at most once although messages are lost; its caller is told when it may have run", async () => {
    const turned = new Map<number, number>();
    await using cluster = await createTestCluster({ runners: 3, register: [dial(turned)], seed: 6 });
    cluster.faults({ drop: 0.2 });
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    const outcomes = Promise.allSettled(numbers.map((n) => cluster.entity(Dial, `d${n % 9}`).turn(n)));
    await cluster.advance("2 minutes");
    let lost = 0;
    for (const [n, outcome] of (await outcomes).entries()) {
      expect(turned.get(n) ?? 0).toBeLessThanOrEqual(1);
      if (outcome.status === "fulfilled") expect([outcome.value, turned.get(n)]).toEqual([n, 1]);
      else {
        expect(outcome.reason).toBeInstanceOf(RunnerUnavailableError);
        expect(outcome.reason).toMatchObject({ mayHaveRun: true });
        lost += 1;
      }
    }
    expect(lost).toBeGreaterThan(0);
  });

  it("whose runner dies in the middle is reported and not repeated", async () => {
    await using cluster = await createTestCluster({ runners: 2, register: [dial(new Map())] });
    const call = cluster.entity(Dial, "d").hang();
    const outcome = call.catch((error: unknown) => error);
    await cluster.advance("100ms");
    await cluster.crash(activeRunner(cluster));
    await cluster.advance("5s");
    expect(await outcome).toMatchObject({ code: "RUNNER_UNAVAILABLE", mayHaveRun: true });
  });
});
