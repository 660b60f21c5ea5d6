import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { Abort } from "../contract/abort.ts";
import { rpc } from "../contract/rpc.ts";
import { createMemoryBackend } from "../memory/memory-backend.ts";
import type { ShardId } from "../data/shard-id.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { Activation } from "./activation.ts";
import { Counters } from "./counters.ts";
import { HostedRequest } from "./hosted-request.ts";
import { Inbox } from "./inbox.ts";
import { Suspension } from "./behavior.ts";
import { PuttingOff } from "./putting-off.ts";

const REQUEST = sampleRequest({ persisted: true });

/** A request that runs, on storage whose answer to being told to put it off waits for `answer`. */
async function running() {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const counters = new Counters();
  const { messages } = await createMemoryBackend().storage.open({ clock, random });
  const [epoch = 0] = await messages.claimShards([REQUEST.address.shardId]);
  const fence = { shardId: REQUEST.address.shardId, epoch };
  await messages.saveRequest(REQUEST, 1, fence);

  const answered = Promise.withResolvers<void>();
  const reschedule = messages.reschedule.bind(messages);
  let isFenced = false;
  let isAway = false;
  let isLost = false;
  const refusedAt: number[] = [];
  messages.reschedule = async (requestId, schedule, under) => {
    if (isFenced) throw new FencedError({ ...fence, current: epoch + 1 });
    // Who never pauses comes to an end, too.
    if (isAway && refusedAt.length < 100) {
      refusedAt.push(clock.monotonic());
      throw new PersistenceError({ operation: "reschedule", outcome: "not-written", detail: "told to" });
    }
    if (isLost)
      throw new PersistenceError({ operation: "reschedule", outcome: "unknown", detail: "told to" });
    await reschedule(requestId, schedule, under);
    if (schedule.deliverAt !== null && schedule.deliverAt > clock.now()) await answered.promise;
  };

  const request = new HostedRequest(
    { envelope: REQUEST, rpc: rpc({ persisted: true }), input: 1 },
    { attempts: 1, attemptIsRecorded: true, isAccepted: true },
  );
  const requests = new Map([[request.id, request]]);
  const refused: ShardId[] = [];
  const puttingOff = new PuttingOff({
    messages,
    clock,
    random,
    logger,
    counters,
    requests,
    inbox: new Inbox({
      messages,
      clock,
      logger,
      counters,
      pollIntervalMs: 500,
      beginAll: () => undefined,
      begin: () => ({ number: 1, shardIds: [], covers: () => true, caughtUp: () => undefined }),
      held: () => ({ sequences: [], full: [], payload: 0, room: 1 }),
      admit: async () => undefined,
      observed: (call) => call(),
    }),
    fenced: (shardId) => void refused.push(shardId),
    forget: ({ id }) => void requests.delete(id),
  });
  const activation = new Activation({
    key: "Counter/1",
    address: REQUEST.address,
    behavior: { contract: { name: "Counter" } as never, handlers: {} },
    fence,
    mailboxCapacity: 1,
    concurrency: 1,
    leaving: new Abort(),
    hooks: { run: () => undefined, ended: () => undefined },
  });
  return {
    clock,
    requests,
    /** Shards of which storage refused a write. */
    refused,
    /** Another runner claims the shard. */
    fence: () => void (isFenced = true),
    answer: () => answered.resolve(),
    /** Storage is out of reach, or back. */
    setAway: (is: boolean) => void (isAway = is),
    /** Nobody hears what becomes of what storage is asked for, or everybody again. */
    setLost: (is: boolean) => void (isLost = is),
    /** When it was asked while it was. */
    refusedAt,
    /** Its shard moves. */
    move: () => request.end("moved", "its shard moved"),
    putOff: (until: number | null = null) => puttingOff.putOff(request, activation, new Suspension(until)),
    hasten: () => puttingOff.hasten({ requestId: request.id, attempts: 1 }, fence),
    /** When storage has it due. */
    dueAt: async () => {
      const [state] = await messages.lookUp([request.id]);
      return state?.state === "pending" ? state.deliverAt : undefined;
    },
    /** Whether storage has it due now. */
    isDue: async () => {
      const page = await messages.readPending({
        shardIds: [fence.shardId],
        now: clock.now(),
        limit: 1,
        excludingSequences: [],
        excludingEntities: [],
      });
      return page.requests.length === 1;
    },
  };
}

describe("a request that is being put off", () => {
  it("is due at a time that storages and dates can have, however long it sleeps", async () => {
    const test = await running();
    const putOff = test.putOff(1e300);
    test.answer();
    await putOff;
    expect(new Date((await test.dueAt()) ?? Number.NaN).getTime()).toBe(8.64e15);
  });

  it("is due when it is hastened while storage is told, and whoever hastens it waits for that (P1)", async () => {
    const test = await running();
    const putOff = test.putOff();
    await test.clock.settle();
    expect(await test.isDue()).toBe(false);
    const hastening = test.hasten().then(() => test.isDue());
    test.answer();
    expect(await hastening).toBe(true);
    await putOff;
    expect(test.requests.size).toBe(0);
  });

  it("is in memory until storage has said that it has it, for as long as that may come late (P2)", async () => {
    const test = await running();
    test.setLost(true);
    test.answer();
    const putOff = test.putOff();
    await test.clock.advance(5_000);
    expect(test.requests.size).toBe(1);
    const hastening = test.hasten();
    test.setLost(false);
    await test.clock.advance(20_000);
    await Promise.all([putOff, hastening]);
    expect([test.requests.size, await test.isDue()]).toEqual([0, true]);
  });

  it("leaves memory where storage surely does not have it, and so it does where it was due anyway", async () => {
    const test = await running();
    test.setAway(true);
    await test.putOff();
    expect([test.requests.size, test.refusedAt.length, await test.isDue()]).toEqual([0, 1, true]);
    const leaving = await running();
    leaving.setLost(true);
    await leaving.putOff(0);
    expect([leaving.requests.size, await leaving.isDue()]).toEqual([0, true]);
  });

  it("is not sure to run where its shard is another runner's by then: whoever hastens it tries again (P1)", async () => {
    const test = await running();
    const putOff = test.putOff();
    await test.clock.settle();
    const hastening = test.hasten();
    test.fence();
    test.answer();
    await expect(hastening).rejects.toMatchObject({ name: "PersistenceError", outcome: "not-written" });
    await putOff;
    expect([test.refused, test.requests.size]).toEqual([[REQUEST.address.shardId], 0]);
  });

  it("is made due by tries ever further apart where storage is out of reach as it is hastened (P1)", async () => {
    const test = await running();
    const putOff = test.putOff();
    await test.clock.settle();
    let isSure = false;
    const hastening = test.hasten().then(() => (isSure = true));
    test.setAway(true);
    test.answer();
    await test.clock.advance(20_000);
    expect(isSure).toBe(false);
    const pauses = test.refusedAt.slice(1).map((at, index) => at - (test.refusedAt[index] ?? 0));
    expect(pauses.length).toBeGreaterThan(3);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBeGreaterThan(pauses[0] ?? Number.NaN);
    test.setAway(false);
    await test.clock.advance(20_000);
    expect([isSure, await test.isDue(), test.requests.size]).toEqual([true, true, 0]);
    await Promise.all([putOff, hastening]);
  });

  it("is not sure to run where its shard moves while storage is out of reach, and is not tried any more (P1)", async () => {
    const test = await running();
    const putOff = test.putOff();
    await test.clock.settle();
    const hastening = test.hasten();
    test.setAway(true);
    test.answer();
    await test.clock.settle();
    test.move();
    await expect(hastening).rejects.toMatchObject({ name: "PersistenceError", outcome: "not-written" });
    await putOff;
    await test.clock.advance(20_000);
    expect([test.requests.size, test.refusedAt.length]).toEqual([0, 1]);
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
    "is due when it is hastened %i microtasks after storage has answered (P1)",
    async (microtasks) => {
      const test = await running();
      const putOff = test.putOff();
      await test.clock.settle();
      expect(await test.isDue()).toBe(false);
      test.answer();
      for (let n = 0; n < microtasks; n += 1) await Promise.resolve();
      await test.hasten();
      expect(await test.isDue(), "when the hastening resolves").toBe(true);
      await putOff;
      await test.clock.settle();
      expect(await test.isDue()).toBe(true);
    },
  );
});
