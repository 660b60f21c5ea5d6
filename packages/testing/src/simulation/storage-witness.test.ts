import type { OpenStorage, Reply } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { StorageWitness } from "./storage-witness.ts";

/** A storage that takes everything. */
function careless(): OpenStorage {
  let epoch = 0;
  const replies: Reply[] = [];
  const messages = {
    claimShards: async (shardIds: readonly string[]) => {
      epoch += 1;
      return shardIds.map(() => epoch);
    },
    saveReply: async (reply: Reply) => {
      replies.push(reply);
      return reply;
    },
    lookUp: async () => replies.map((reply) => ({ state: "answered", requestId: reply.requestId, reply })),
    recordAttempt: () => Promise.reject(new Error("fenced")),
  };
  const workflows = { reopenExecution: async () => ({}), appendJournal: async () => undefined };
  return { messages, workflows, runners: null, close: async () => undefined } as unknown as OpenStorage;
}

const under = (epoch: number) => ({ shardId: "default:1", epoch }) as const;
const answer = (value: string): Reply => ({ requestId: "r", exit: { ok: true, value } });

describe("a witness of storage", () => {
  it("has nothing to say of an owner who writes what nobody else wrote", async () => {
    const witness = new StorageWitness();
    const { messages } = witness.watch(careless());
    await messages.claimShards(["default:1"]);
    await messages.saveReply(answer("1"), under(1), null);
    await messages.saveReply(answer("1"), under(1), null);
    await messages.claimShards(["default:1"]);
    await expect(messages.recordAttempt("r", 1, under(1))).rejects.toThrow("fenced");
    witness.check();
  });

  it("finds a write under an epoch that is over, by whichever process (INV-1)", async () => {
    const witness = new StorageWitness();
    const storage = careless();
    const [one, other] = [witness.watch(storage), witness.watch(storage)];
    await one.messages.claimShards(["default:1"]);
    await other.messages.claimShards(["default:1"]);
    await one.workflows.appendJournal({ entityType: "w", executionId: "x" }, [], under(1), null);
    expect(() => witness.check()).toThrow(
      /one owner at a time: default:1: appendJournal under 1, after claimShards/u,
    );
  });

  it("finds a reply that changes, unless its execution was resumed (INV-6)", async () => {
    const witness = new StorageWitness();
    const { messages, workflows } = witness.watch(careless());
    await messages.claimShards(["default:1"]);
    await messages.saveReply(answer("1"), under(1), null);
    await workflows.reopenExecution({ entityType: "w", executionId: "x" }, "r", [] as never);
    await messages.saveReply(answer("2"), under(1), null);
    witness.check();
    await messages.saveReply(answer("3"), under(1), null);
    expect(() => witness.check()).toThrow(expect.objectContaining({ invariant: "replies never change" }));
  });
});
