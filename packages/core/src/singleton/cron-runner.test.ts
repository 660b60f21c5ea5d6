import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { Abort } from "../contract/abort.ts";
import { answerOf } from "../contract/answers.ts";
import { encodeError } from "../contract/error-codec.ts";
import { TransactionScope } from "../contract/transaction.ts";
import type { Envelope } from "../data/envelope.ts";
import { handlersOf, type Call, type Handler } from "../entity/behavior.ts";
import { InterruptedError } from "../errors/routing.ts";
import { FencedError } from "../errors/storage.ts";
import { CronRunner, TICK, tickOf, type Cron } from "./cron-runner.ts";
import { CronSchedule } from "./cron-schedule.ts";

const START = Date.parse("2030-01-01T00:00:00Z");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/**
 * The storage of one cron's ticks, and the part of the runtime that hands out those that are due, one at a time: a tick
 * stays until it is answered, and an instant is accepted once.
 */
class TickStorage {
  readonly clock = new VirtualClock(START);
  readonly log: string[] = [];
  /** Every tick ever accepted, with its reply once it has one. */
  readonly ticks = new Map<string, { reply: unknown }>();
  failures = 0;
  saves = 0;
  /** Called before whoever saves a tick hears that it is saved. */
  whenSaved: () => void = () => undefined;
  /** How old what was deleted had to be, each time. */
  readonly forgottenAfter: number[] = [];

  runner(cron: Partial<Cron> = {}): CronRunner {
    const write = (message: string) => void this.log.push(message);
    return new CronRunner(
      {
        name: "cleanup",
        shardGroup: "default",
        schedule: everyTenMinutes(),
        calculateNextFromPrevious: false,
        skipIfOlderThanMs: 24 * HOUR,
        run: () => {},
        ...cron,
      },
      {
        clock: this.clock,
        logger: { debug: write, info: write, warn: write, error: write },
        isWaiting: async (instant) => {
          const tick = this.ticks.get(tickOf(instant).scheduledTime);
          return tick !== undefined && tick.reply === undefined;
        },
        forgetTicks: async (answeredBefore) =>
          void this.forgottenAfter.push(this.clock.now() - answeredBefore),
        scheduleTick: async (instant) => {
          this.saves += 1;
          if (this.failures > 0) {
            this.failures -= 1;
            throw new Error("storage is away");
          }
          const { scheduledTime } = tickOf(instant);
          if (!this.ticks.has(scheduledTime)) this.ticks.set(scheduledTime, { reply: undefined });
          this.whenSaved();
        },
      },
    );
  }

  /** Ticks that wait for their time, or for an answer. */
  get pending(): string[] {
    return [...this.ticks]
      .filter(([, { reply }]) => reply === undefined)
      .map(([scheduledTime]) => shorten(scheduledTime));
  }

  /** Hands `runner` the pending tick that was accepted first and is due. Resolves to whether there was one. */
  async deliver(runner: CronRunner, signal: AbortSignal = running(), attempt = 1): Promise<boolean> {
    const due = [...this.ticks].find(
      ([scheduledTime, { reply }]) => reply === undefined && Date.parse(scheduledTime) <= this.clock.now(),
    );
    if (due === undefined) return false;
    const [scheduledTime, tick] = due;
    const handlers = handlersOf(runner.behavior, {
      address: { entityType: "cron:cleanup", entityId: "cleanup", shardId: "default:1" },
      fence: { shardId: "default:1", epoch: 1 },
      signal,
      onEvict: () => {},
    });
    const handle = handlers[TICK] as Handler;
    tick.reply = await Promise.resolve(handle({ scheduledTime }, callWith(signal, attempt))).catch(
      (error: unknown) => {
        // The runtime gives these another attempt, and records all others.
        if (error instanceof Error && "retryable" in error && error.retryable === true) return undefined;
        return error;
      },
    );
    return true;
  }

  /** Moves time on minute by minute and delivers what comes due. */
  async live(runner: CronRunner, minutes: number): Promise<void> {
    for (let minute = 0; minute < minutes; minute += 1) {
      await this.clock.advance(MINUTE);
      while (await this.deliver(runner));
    }
  }
}

const everyTenMinutes = (): CronSchedule =>
  new CronSchedule({ name: "cleanup", schedule: "*/10 * * * *", timeZone: "UTC" });
const running = (): AbortSignal => new AbortController().signal;
const shorten = (iso: string): string => iso.slice(11, 16);

function callWith(signal: AbortSignal, attempt: number): Call {
  return {
    envelope: { tag: TICK } as Envelope,
    attempt,
    isNew: true,
    signal,
    aborted: new Abort(),
    leaving: new Abort(),
    fence: { shardId: "default:1", epoch: 1 },
    transactions: new TransactionScope(undefined, "the test has none"),
    mayBegin: () => !signal.aborted,
    countAnew: () => undefined,
    owes: () => undefined,
  };
}

/** A cron function that notes the instants it is run for. */
function recorder(): { times: string[]; run: (scheduledTime: Date) => void } {
  const times: string[] = [];
  return { times, run: (scheduledTime) => void times.push(shorten(scheduledTime.toISOString())) };
}

describe("a cron's entity", () => {
  it("has a hidden type, and one persisted rpc that nobody outside may call", () => {
    const { behavior, entityId } = new TickStorage().runner();
    expect(behavior.contract.name).toBe("cron:cleanup");
    expect(entityId).toBe("cleanup");
    expect(behavior.contract.concurrency).toBe(1);
    expect(Object.keys(behavior.contract.rpcs)).toEqual([TICK]);
    expect(behavior.contract.rpcs[TICK]).toMatchObject({
      persisted: true,
      visibility: "protected",
      uninterruptible: true,
    });
  });

  it("takes the instant of a tick as its deduplication key (C2)", () => {
    const { behavior } = new TickStorage().runner();
    expect(behavior.contract.rpcs[TICK]?.primaryKey?.(tickOf(START) as never)).toBe(
      "2030-01-01T00:00:00.000Z",
    );
  });
});

describe("a cron", () => {
  it("runs at each instant of its schedule once its runner has seeded it", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    expect(storage.pending).toEqual(["00:10"]);
    await storage.live(runner, 35);
    expect(times).toEqual(["00:10", "00:20", "00:30"]);
    expect(storage.pending).toEqual(["00:40"]);
  });

  it("has its next tick saved before the function runs (C1)", async () => {
    const storage = new TickStorage();
    const pendingWhenRun: string[][] = [];
    const runner = storage.runner({ run: () => void pendingWhenRun.push(storage.pending) });
    await runner.seed(running());
    await storage.live(runner, 10);
    expect(pendingWhenRun).toEqual([["00:10", "00:20"]]);
  });

  it("has one tick that waits, however late it is, also where it is mended again and again", async () => {
    const storage = new TickStorage();
    const runner = storage.runner();
    await runner.seed(running());
    // Nothing is delivered, as while an earlier tick takes very long.
    for (let minute = 0; minute < 60; minute += 1) {
      await storage.clock.advance(60_000);
      await runner.mend(running());
    }
    expect(storage.pending).toEqual(["00:10"]);
  });

  it("goes on although a clock that was ahead has run its next tick early", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    storage.clock.setWall(HOUR);
    await storage.live(runner, 1);
    storage.clock.setWall(0);
    for (let minute = 0; minute < 35; minute += 1) {
      await storage.live(runner, 1);
      await runner.mend(running());
    }
    // The first was run early, and runs once.
    expect(times).toEqual(["00:10", "00:20", "00:30"]);
  });

  it("is not doubled when it is seeded again and again (C2)", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    for (let minute = 0; minute < 30; minute += 1) {
      await runner.seed(running());
      await storage.live(runner, 1);
    }
    expect(times).toEqual(["00:10", "00:20", "00:30"]);
    expect(storage.pending).toEqual(["00:40"]);
  });

  it("goes on at its next owner when a runner dies under a tick, at any point", async () => {
    for (const diesAt of ["before the successor is saved", "while the function runs"]) {
      const storage = new TickStorage();
      const { times, run } = recorder();
      const dying = new AbortController();
      const first = storage.runner({
        run: () => {
          dying.abort();
          throw new Error("the process died");
        },
      });
      await first.seed(running());
      await storage.clock.advance(10 * MINUTE);
      if (diesAt === "before the successor is saved") dying.abort();
      // What a dying runner hands back is not recorded.
      await storage.deliver(first, dying.signal);
      for (const tick of storage.ticks.values()) tick.reply = undefined;

      const second = storage.runner({ run });
      await second.seed(running());
      await storage.live(second, 25);
      expect(times, diesAt).toEqual(["00:10", "00:20", "00:30"]);
      expect(storage.pending, diesAt).toEqual(["00:40"]);
    }
  });

  it("goes on when its function throws, and records what it threw as the tick's reply", async () => {
    const storage = new TickStorage();
    const problem = Object.assign(new Error("no disk"), { retryable: true });
    const runner = storage.runner({
      run: () => {
        throw problem;
      },
    });
    await runner.seed(running());
    await storage.live(runner, 20);
    const replies = [...storage.ticks.values()].map((tick) => tick.reply);
    expect(replies).toEqual([
      expect.objectContaining({ name: "CronTickFailed", cause: problem }),
      expect.objectContaining({
        message: 'The function of cron "cleanup" threw at its tick of 2030-01-01T00:20:00.000Z.',
      }),
      undefined,
    ]);
    expect(storage.log).toEqual(["A cron's tick failed", "A cron's tick failed"]);
  });

  it.each([
    ["is repeated when its shard leaves under it", "leaves", undefined],
    [
      "is repeated when storage refuses what it writes, since another runner has its shard",
      "is fenced",
      undefined,
    ],
    ["has failed when it throws what another one was refused", "was told", { name: "CronTickFailed" }],
  ])("whose function throws %s", async (_what, why, reply) => {
    const storage = new TickStorage();
    const shard = new AbortController();
    const refused = new FencedError({ shardId: "default:1", epoch: 1, current: 2 });
    const runner = storage.runner({
      run: () => {
        if (why === "leaves")
          shard.abort(new InterruptedError({ what: "It", why: "it leaves", retryable: true }));
        if (why === "was told") throw answerOf(encodeError(refused, { exposeStacks: false }), [], null);
        throw why === "is fenced" ? refused : shard.signal.reason;
      },
    });
    await runner.seed(running());
    await storage.clock.advance(10 * MINUTE);
    await storage.deliver(runner, shard.signal);
    const [tick] = storage.ticks.values();
    if (reply === undefined) expect(tick?.reply).toBeUndefined();
    else expect(tick?.reply).toMatchObject(reply);
  });

  it("tries to save the next tick until it is saved", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    storage.failures = 4;
    const seeded = runner.seed(running());
    await storage.clock.advance(MINUTE);
    await seeded;
    expect(storage.pending).toEqual(["00:10"]);

    await storage.clock.advance(9 * MINUTE);
    storage.failures = 4;
    const delivered = storage.deliver(runner);
    await storage.clock.settle();
    expect(times).toEqual([]);
    await storage.clock.advance(MINUTE);
    await delivered;
    expect(times).toEqual(["00:10"]);
    expect(storage.pending).toEqual(["00:20"]);
  });

  it("asks for another attempt when its runner leaves before the next tick is saved", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    await storage.clock.advance(10 * MINUTE);
    storage.failures = Number.POSITIVE_INFINITY;
    const leaving = new AbortController();
    const delivered = storage.deliver(runner, leaving.signal);
    await storage.clock.advance(MINUTE);
    leaving.abort();
    await delivered;
    expect(times).toEqual([]);
    expect(storage.pending).toEqual(["00:10"]);
  });

  it("asks for another attempt when its shard leaves while the next tick is saved: another runner may have it", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    await storage.clock.advance(10 * MINUTE);
    const leaving = new AbortController();
    storage.whenSaved = () => leaving.abort();
    await storage.deliver(runner, leaving.signal);
    expect(times).toEqual([]);
    expect(storage.pending).toEqual(["00:10", "00:20"]);
  });

  it("stops trying to seed when the shard leaves", async () => {
    const storage = new TickStorage();
    const runner = storage.runner();
    storage.failures = Number.POSITIVE_INFINITY;
    const leaving = new AbortController();
    const seeded = runner.seed(leaving.signal);
    await storage.clock.advance(MINUTE);
    leaving.abort();
    await seeded;
    const { saves } = storage;
    await storage.clock.advance(HOUR);
    expect(storage.saves).toBe(saves);
  });
});

describe("a cron that was away or slow", () => {
  it("goes on from now, and leaves out what passed meanwhile", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    await storage.clock.advance(45 * MINUTE);
    await runner.seed(running());
    await storage.live(runner, 10);
    expect(times).toEqual(["00:10", "00:50"]);
    expect(storage.pending).toEqual(["01:00"]);
  });

  it("catches up one by one when it calculates the next from the previous", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run, calculateNextFromPrevious: true });
    await runner.seed(running());
    await storage.clock.advance(45 * MINUTE);
    await runner.seed(running());
    await storage.live(runner, 10);
    expect(times).toEqual(["00:10", "00:20", "00:30", "00:40", "00:50"]);
    expect(storage.pending).toEqual(["01:00"]);
  });

  it("comes no later with each seed where a run takes longer than from one instant to the next (C5)", async () => {
    const storage = new TickStorage();
    const { clock } = storage;
    const late: number[] = [];
    const cron = storage.runner({
      run: async (scheduledTime) => {
        late.push((clock.now() - scheduledTime.getTime()) / MINUTE);
        await clock.advance(12 * MINUTE);
        await cron.seed(running());
        await clock.advance(13 * MINUTE);
      },
    });
    await cron.seed(running());
    while (late.length < 10) if (!(await storage.deliver(cron))) await clock.advance(MINUTE);
    expect(Math.max(...late)).toBeLessThan(25);
  });

  it("runs the first instant that it missed also where its runner repeats the tick before that", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({
      run: async (scheduledTime) => {
        run(scheduledTime);
        if (times.length > 1) return;
        await storage.clock.advance(15 * MINUTE);
        throw new FencedError({ shardId: "default:1", epoch: 1, current: 2 });
      },
    });
    await runner.seed(running());
    await storage.clock.advance(10 * MINUTE);
    await storage.deliver(runner);
    expect(storage.pending).toEqual(["00:10", "00:20"]);
    await storage.deliver(runner, running(), 2);
    await storage.live(runner, 10);
    expect(times).toEqual(["00:10", "00:10", "00:20", "00:30"]);
  });

  it("skips a tick that is older than skipIfOlderThan", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run, skipIfOlderThanMs: 30 * MINUTE });
    await runner.seed(running());
    await storage.clock.advance(41 * MINUTE);
    await storage.live(runner, 10);
    expect(times).toEqual(["00:50"]);
    expect([...storage.ticks.values()].map((tick) => tick.reply)).toEqual([
      "skipped: too old",
      "ran",
      undefined,
    ]);
  });

  it("runs a tick that is exactly as old as skipIfOlderThan", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run, skipIfOlderThanMs: 30 * MINUTE });
    await runner.seed(running());
    await storage.clock.advance(40 * MINUTE);
    await storage.deliver(runner);
    expect(times).toEqual(["00:10"]);
  });

  it("passes over at once, while it catches up, what it would skip as too old", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run, calculateNextFromPrevious: true, skipIfOlderThanMs: 30 * MINUTE });
    await runner.seed(running());
    await storage.clock.advance(1000 * HOUR);
    while (await storage.deliver(runner));
    await storage.live(runner, 10);
    expect(times).toEqual(["15:30", "15:40", "15:50", "16:00", "16:10"]);
    expect(storage.ticks.size).toBe(7);
  });

  it("never names an instant twice, although its runner's clock is behind (C4)", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    const runner = storage.runner({ run });
    await runner.seed(running());
    await storage.clock.advance(10 * MINUTE);
    const delivered = storage.deliver(runner);
    storage.clock.setWall(-2 * MINUTE);
    await delivered;
    await storage.live(runner, 12);
    expect(times).toEqual(["00:10", "00:20"]);
    expect(storage.pending).toEqual(["00:30"]);
  });
});

describe("a cron whose schedule was changed by a deployment", () => {
  it("does not run at an instant of the old schedule, and goes on with the new one", async () => {
    const storage = new TickStorage();
    const { times, run } = recorder();
    await storage.runner({ run }).seed(running());
    const schedule = new CronSchedule({ name: "cleanup", schedule: "5/15 * * * *", timeZone: "UTC" });
    const deployed = storage.runner({ run, schedule });
    await deployed.seed(running());
    await storage.live(deployed, 36);
    expect(times).toEqual(["00:05", "00:20", "00:35"]);
    expect(storage.ticks.get("2030-01-01T00:10:00.000Z")).toEqual({
      reply: "skipped: no longer in the schedule",
    });
    expect(storage.pending).toEqual(["00:50"]);
  });
});

describe("the records of a cron's ticks", () => {
  it("are deleted once they are older than what may still run, and then some", async () => {
    const storage = new TickStorage();
    const runner = storage.runner({ skipIfOlderThanMs: 5 * HOUR });
    await runner.seed(running());
    await storage.live(runner, 36);
    expect(storage.forgottenAfter.length).toBeGreaterThan(1);
    expect(Math.min(...storage.forgottenAfter)).toBeGreaterThan(5 * HOUR);
  });
});
