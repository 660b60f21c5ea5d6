import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { defineWorkflow } from "@holdfast/core";
import { Standstill } from "./standstill.ts";
import { createTestCluster } from "./test-cluster.ts";

const never = (): Promise<never> => new Promise(() => undefined);

describe("what it says", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const standstill = () => {
    const said: string[] = [];
    const clock = {
      now: 0,
      monotonic: () => clock.now,
    };
    return { said, clock, standstill: new Standstill(clock, (hint) => void said.push(hint), setTimeout) };
  };

  it("names how many calls wait, and the first one, once", () => {
    const { said, standstill: watched } = standstill();
    void watched.watch("Cart/a.add", never);
    void watched.watch("Cart/a.pay", never);
    vi.advanceTimersByTime(10_000);
    void watched.watch("Cart/b.add", never);
    vi.advanceTimersByTime(10_000);
    expect(said).toEqual([
      expect.stringMatching(/2 calls wait, Cart\/a\.add first of all, .*cluster\.advance\(\)/u),
    ]);
  });

  it("is nothing while time moves, and nothing of calls that came back", async () => {
    const { said, clock, standstill: watched } = standstill();
    void watched.watch("Cart/a.add", never);
    for (let second = 0; second < 20; second += 1) {
      clock.now += 1;
      vi.advanceTimersByTime(1_000);
    }
    expect(said).toEqual([]);
    const other = standstill();
    await other.standstill.watch("Cart/a.add", async () => "done");
    const failed = other.standstill.watch("Cart/a.pay", () => Promise.reject(new Error("failed")));
    await expect(failed).rejects.toThrow("failed");
    vi.advanceTimersByTime(20_000);
    expect(other.said).toEqual([]);
  });

  it("is nothing of calls that come back one after the other", async () => {
    const { said, standstill: watched } = standstill();
    for (let second = 0; second < 20; second += 1) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const call = watched.watch("Cart/a.add", () => promise);
      vi.advanceTimersByTime(1_000);
      resolve();
      await call;
    }
    expect(said).toEqual([]);
  });
});

it("is a warning of the process where a test awaits a workflow that sleeps", async () => {
  const Sleeper = defineWorkflow<{ id: string }, string>({
    name: "Sleeper",
    key: ({ id }) => id,
    hashKey: false,
  });
  const sleeper = Sleeper.implement({
    async execute(ctx) {
      await ctx.sleep("1 hour");
      return "awake";
    },
  });
  await using cluster = await createTestCluster({ register: [sleeper] });
  const warned = new Promise<void>((resolve) => {
    const hear = ({ message }: Error): void => {
      if (message.startsWith("A test cluster stands still: workflow:Sleeper/s.execute waits")) resolve();
    };
    process.on("warning", hear);
    onTestFinished(() => void process.off("warning", hear));
  });
  const result = cluster.workflow(Sleeper).execute({ id: "s" });
  await warned;
  await cluster.advance("61 minutes");
  expect(await result).toBe("awake");
});
