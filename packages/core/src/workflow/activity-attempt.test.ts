import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { sleep } from "../clock/sleep.ts";
import { Abort } from "../contract/abort.ts";
import { decodePayload, encodePayload } from "../contract/payload.ts";
import type { StorageTransaction, TransactionScope } from "../contract/transaction.ts";
import { TransactionUnavailableError } from "../errors/storage.ts";
import { ActivityTimeoutError } from "../errors/workflow.ts";
import {
  Attempt,
  DEFAULT_ACTIVITY_SETTINGS,
  type ActivitySettings,
  type AttemptBody,
  type AttemptOutcome,
  type Heartbeat,
} from "./activity-attempt.ts";
import { OpenStep } from "./cancellation.ts";

interface Stage {
  readonly clock: VirtualClock;
  readonly abort: Abort;
  readonly heartbeats: unknown[];
  readonly rollbacks: number[];
  run(body: AttemptBody, settings?: Partial<ActivitySettings>): Promise<AttemptOutcome>;
}

function stage(rollback: () => Promise<void> = async () => undefined): Stage {
  const clock = new VirtualClock();
  const abort = new Abort();
  const heartbeats: unknown[] = [];
  const rollbacks: number[] = [];
  const transaction: StorageTransaction = {
    kind: "test",
    rollback() {
      rollbacks.push(clock.monotonic());
      return rollback();
    },
  };
  return {
    clock,
    abort,
    heartbeats,
    rollbacks,
    run: (body, settings = {}) => {
      const scope = {
        clock,
        executionId: "e",
        stopped: abort,
        maxPayloadBytes: 1_000,
        beginTransaction: () => transaction,
        keyOf: (place: string) => `e/${place}`,
      };
      const open = new OpenStep({ position: 3, kind: "activity", name: "charge" }, "work", () => undefined);
      const heartbeat: Heartbeat = {
        get details() {
          return encodePayload(heartbeats.at(-1) ?? "page 4", "the last heartbeat");
        },
        set details(text) {
          heartbeats.push(decodePayload(text ?? "", "a heartbeat"));
        },
      };
      const step = { place: "3", name: "charge", open };
      const given = { settings: { ...DEFAULT_ACTIVITY_SETTINGS, ...settings }, attempt: 2, heartbeat };
      return new Attempt(step, scope, given).run(body);
    },
  };
}

const never = (): Promise<never> => new Promise(() => undefined);

describe("an attempt", () => {
  it("is given who it is and what the one before left", async () => {
    const { run } = stage();
    const outcome = await run(({ executionId, key, name, attempt, lastHeartbeat, signal }) => [
      executionId,
      key,
      name,
      attempt,
      lastHeartbeat,
      signal.aborted,
    ]);
    expect(outcome).toEqual({
      type: "completed",
      value: ["e", "e/3", "charge", 2, "page 4", false],
      transaction: null,
    });
  });

  it.each([
    ["at once", () => Promise.reject(new Error("no"))],
    [
      "before it returns a promise",
      () => {
        throw new Error("no");
      },
    ],
  ])("fails with what the body throws %s", async (_when, body) => {
    const { run } = stage();
    expect(await run(body)).toEqual({ type: "failed", error: new Error("no") });
  });

  it("hands an open transaction on, and opens none by itself", async () => {
    const { run, rollbacks } = stage();
    expect(await run(() => 1)).toMatchObject({ transaction: null });
    const outcome = await stage().run(({ transactions }) => void transactions.open("test"));
    expect(outcome).toMatchObject({ type: "completed", transaction: { kind: "test" } });
    expect(rollbacks).toEqual([]);
  });

  it.each([
    ["rejects", () => Promise.reject(new Error("connection lost"))],
    [
      "throws",
      () => {
        throw new Error("connection lost");
      },
    ],
  ])("rolls its transaction back when it fails, also where that %s in turn", async (_how, rollback) => {
    const { run, rollbacks } = stage(rollback);
    const outcome = await run(({ transactions }) => {
      transactions.open("test");
      throw new Error("no");
    });
    expect(outcome).toEqual({ type: "failed", error: new Error("no") });
    expect(rollbacks).toHaveLength(1);
  });

  it("leaves no timer behind", async () => {
    const { run, clock } = stage();
    await run(({ heartbeat }) => heartbeat(1), { timeoutMs: 1_000, heartbeatTimeoutMs: 100 });
    expect(clock.pending()).toBe(0);
  });
});

describe("a time-out", () => {
  it("ends an attempt with ActivityTimeoutError, aborts its signal and rolls its transaction back", async () => {
    const { run, clock, rollbacks } = stage();
    const reasons: unknown[] = [];
    let transactions: TransactionScope | undefined;
    const attempt = run(
      ({ signal, transactions: scope }) => {
        transactions = scope;
        scope.open("test");
        signal.addEventListener("abort", () => reasons.push(signal.reason));
        return never();
      },
      { timeoutMs: 5_000 },
    );
    await clock.advance(4_999);
    expect(rollbacks).toEqual([]);
    await clock.advance(1);
    const outcome = await attempt;
    expect(outcome).toMatchObject({ type: "failed", error: expect.any(ActivityTimeoutError) });
    expect(outcome.type === "failed" && String(outcome.error)).toContain(
      "Attempt 2 of activity charge of the execution e did not end within 5000 ms. Raise its timeout",
    );
    expect(reasons).toEqual([outcome.type === "failed" && outcome.error]);
    expect(rollbacks).toEqual([5_000]);
    expect(() => transactions?.open("test"), "the body that was left behind gets none").toThrow(
      TransactionUnavailableError,
    );
  });

  it("is not waited for by a body that ends in time", async () => {
    const { run, clock } = stage();
    const attempt = run(() => sleep(clock, 4_000).then(() => "in time"), { timeoutMs: 5_000 });
    await clock.advance(10_000);
    expect(await attempt).toMatchObject({ type: "completed", value: "in time" });
  });

  it("ends an attempt although its body answers to the signal with an error of its own", async () => {
    const { run, clock } = stage();
    const attempt = run(
      ({ signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("mine")))),
      { timeoutMs: 10 },
    );
    await clock.advance(10);
    expect(await attempt).toMatchObject({ type: "failed", error: expect.any(ActivityTimeoutError) });
  });
});

describe("a heartbeat", () => {
  it("keeps an attempt alive, and its absence ends it", async () => {
    const { run, clock, heartbeats } = stage();
    const attempt = run(
      async ({ heartbeat }) => {
        for (let beat = 1; beat <= 3; beat += 1) {
          await sleep(clock, 90);
          heartbeat(beat);
        }
        return never();
      },
      { heartbeatTimeoutMs: 100 },
    );
    await clock.advance(369);
    let isOver = false;
    void attempt.then(() => (isOver = true));
    await clock.settle();
    expect(isOver).toBe(false);
    await clock.advance(1);
    const outcome = await attempt;
    expect(outcome).toMatchObject({ type: "failed", error: expect.any(ActivityTimeoutError) });
    expect(outcome.type === "failed" && String(outcome.error)).toContain("sent no heartbeat for 100 ms");
    expect(heartbeats).toEqual([1, 2, 3]);
  });

  it("of a body that was left behind is not heard", async () => {
    const { run, clock, heartbeats } = stage();
    const attempt = run(
      async ({ heartbeat }) => {
        await sleep(clock, 200);
        heartbeat("too late");
      },
      { timeoutMs: 100, heartbeatTimeoutMs: 1_000 },
    );
    await clock.advance(100);
    await attempt;
    await clock.advance(500);
    expect(heartbeats).toEqual([]);
    expect(clock.pending()).toBe(0);
  });

  it("is heard without a time-out, too", async () => {
    const { run, heartbeats } = stage();
    await run(({ heartbeat }) => heartbeat({ page: 5 }));
    expect(heartbeats).toEqual([{ page: 5 }]);
  });
});

describe("an attempt's signal", () => {
  it("is aborted with the execution's, and the attempt fails with its reason", async () => {
    const { run, abort, clock, rollbacks } = stage();
    const attempt = run(({ transactions }) => {
      transactions.open("test");
      return never();
    });
    abort.abort(new Error("shard lost"));
    expect(await attempt).toEqual({ type: "failed", error: new Error("shard lost") });
    expect(rollbacks).toHaveLength(1);
    expect(clock.pending()).toBe(0);
  });

  it("that is aborted already lets nothing begin", async () => {
    const { run, abort, clock } = stage();
    abort.abort(new Error("shard lost"));
    let began = false;
    const outcome = await run(
      () => {
        began = true;
      },
      { timeoutMs: 100 },
    );
    expect(outcome).toEqual({ type: "failed", error: new Error("shard lost") });
    expect(began).toBe(false);
    expect(clock.pending()).toBe(0);
  });

  it("is not aborted by an end in good order", async () => {
    const { run, abort } = stage();
    let signal: AbortSignal | undefined;
    await run((scope) => (signal = scope.signal));
    abort.abort(new Error("later"));
    expect(signal?.aborted).toBe(false);
  });
});
