import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { RunnerRecord } from "../data/runner-record.ts";
import { TransactionUnavailableError } from "../errors/storage.ts";
import { createMemoryBackend } from "./memory-backend.ts";

function record(runnerId: string): RunnerRecord {
  return {
    runnerId,
    address: runnerId,
    role: "runner",
    weight: 1,
    shardGroups: ["default"],
    entityTypes: [],
    shardsPerGroup: 300,
    protocolVersion: 1,
  };
}

describe("a memory backend", () => {
  it("shares nothing with another one, and everything among its sessions", async () => {
    const services = { clock: new VirtualClock(), random: new SeededRandom(1) };
    const backend = createMemoryBackend();
    const first = await backend.storage.open(services);
    await first.messages.claimShards(["default:1"]);
    await first.close();
    const second = await backend.storage.open(services);
    expect(await second.messages.claimShards(["default:1"])).toEqual([2]);
    const stranger = await createMemoryBackend().storage.open(services);
    expect(await stranger.messages.claimShards(["default:1"])).toEqual([1]);
  });

  it("rolls back a transaction that is not its own, and says that it has none", async () => {
    const services = { clock: new VirtualClock(), random: new SeededRandom(1) };
    const { workflows, messages } = await createMemoryBackend().storage.open(services);
    const [epoch = 0] = await messages.claimShards(["default:1"]);
    let rolledBack = 0;
    const transaction = {
      kind: "postgres",
      rollback: async () => {
        rolledBack += 1;
      },
    };
    const execution = { entityType: "W", executionId: "1" };
    await expect(
      workflows.appendJournal(execution, [], { shardId: "default:1", epoch }, transaction),
    ).rejects.toBeInstanceOf(TransactionUnavailableError);
    expect(rolledBack).toBe(1);
  });

  it("tells watchers by their own clocks: a member that is paused learns of a change once it is resumed", async () => {
    const clock = new VirtualClock();
    const paused = clock.view({ paused: true });
    const random = new SeededRandom(1);
    const backend = createMemoryBackend();
    const awake = await backend.runners.open({ clock, random });
    const asleep = await backend.runners.open({ clock: paused, random });
    const log: string[] = [];
    await awake.runners.watch(() => log.push("awake"));
    await asleep.runners.watch(() => log.push("asleep"));
    await awake.runners.register(record("r1"), 30_000);
    await clock.settle();
    expect(log).toEqual(["awake"]);
    await clock.advance(30_000);
    expect(log).toEqual(["awake", "awake"]);
    paused.resume();
    await clock.settle();
    expect(log).toEqual(["awake", "awake", "asleep"]);
    await awake.close();
    await asleep.close();
    expect(clock.pending()).toBe(0);
  });
});
