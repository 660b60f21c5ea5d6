import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { createMemoryBackend } from "../memory/memory-backend.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { OpenStorage } from "../adapter/storage-adapter.ts";
import type { Fence } from "../data/epoch.ts";
import type { Envelope } from "../data/envelope.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { firstRequestIdOf } from "../data/request-id.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";
import { Delivery } from "./delivery.ts";
import { ACCEPTED_BEFORE } from "./rejection.ts";

const PROBE_MS = 2_000;
const REQUEST = sampleRequest();

/** A sender whose peers are the test. */
async function sender(
  request: Envelope = REQUEST,
  owner: string | null = "first",
): Promise<{
  readonly delivery: Delivery;
  readonly clock: VirtualClock;
  readonly sent: string[];
  readonly end: unknown[];
  readonly failures: Error[];
  owner: string | undefined;
  /** Who reads nothing as large as the request. */
  tooSmall: string | null;
  readonly storage: OpenStorage;
}> {
  const clock = new VirtualClock();
  const sent: string[] = [];
  const end: unknown[] = [];
  const failures: Error[] = [];
  const storage = await createMemoryBackend().storage.open({ clock, random: new SeededRandom(1) });
  const test = {
    clock,
    sent,
    end,
    failures,
    storage,
    owner: owner ?? undefined,
    tooSmall: null as string | null,
  };
  const delivery = new Delivery({
    messages: storage.messages,
    clock,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    sendRetryCount: 3,
    pollIntervalMs: 500,
    handOverMs: 10_000,
    isReachable: () => true,
    ownerOf: () => test.owner,
    takesNested: () => false,
    serves: () => true,
    reroute: () => undefined,
    send: (to, message: WireMessage) => {
      if (to === test.tooSmall)
        throw new PayloadTooLargeError({ what: "A request", payloadBytes: 2, limitBytes: 1 });
      const again = message.type === "request" && message.sending !== undefined ? " again" : "";
      sent.push(`${message.type} to ${to}${again}`);
    },
    deliverHere: () => undefined,
  });
  delivery.send(request, {
    accepted: () => undefined,
    chunk: () => undefined,
    reply: ({ exit }) => void end.push(exit),
    failed: (error) => {
      failures.push(error);
      end.push(error.name);
    },
  });
  return Object.assign(test, { delivery });
}

describe("a call that is under way when its cluster stops", () => {
  it.each([
    { owner: "first", persisted: false, mayHaveRun: true },
    { owner: "first", persisted: true, mayHaveRun: true },
    { owner: null, persisted: false, mayHaveRun: false },
    { owner: null, persisted: true, mayHaveRun: false },
  ])("is told whether it may have run: %o", async ({ owner, persisted, mayHaveRun }) => {
    const test = await sender(sampleRequest({ persisted }), owner);
    test.delivery.close("stopped");
    expect(test.failures).toMatchObject([{ name: "ClusterClosedError", mayHaveRun }]);
  });

  it("may have run where its sender stored it", async () => {
    const test = await sender(sampleRequest({ persisted: true }), null);
    await test.clock.advance(5_000);
    test.delivery.close("stopped");
    expect(test.failures).toMatchObject([{ name: "ClusterClosedError", mayHaveRun: true }]);
  });
});

describe("a volatile request that was sent on to the next owner", () => {
  it("is not given up for what the one before says when it is asked late (D4)", async () => {
    const test = await sender();
    await test.clock.advance(PROBE_MS);
    expect(test.sent).toEqual(["request to first", "probe to first"]);
    // It moved while the probe was on its way: first the refusal comes, then the answer to the probe.
    test.owner = "second";
    test.delivery.receive({ type: "rejected", requestId: "r1", code: "NOT_ASSIGNED", detail: "" });
    expect(test.sent.at(-1)).toBe("request to second again");
    test.delivery.receive({ type: "known", requestId: "r1", known: false });
    expect(test.end).toEqual([]);
    test.delivery.receive({ type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "2" } } });
    expect(test.end).toEqual([{ ok: true, value: "2" }]);
  });

  it("nor while it waits to be sent again", async () => {
    const test = await sender();
    await test.clock.advance(PROBE_MS);
    test.delivery.receive({ type: "rejected", requestId: "r1", code: "NOT_ASSIGNED", detail: "" });
    test.delivery.receive({ type: "known", requestId: "r1", known: false });
    expect(test.end).toEqual([]);
    await test.clock.advance(500);
    expect(test.sent.at(-1)).toBe("request to first again");
  });

  it("is given up once its own runner does not know it", async () => {
    const test = await sender();
    await test.clock.advance(PROBE_MS);
    test.delivery.receive({ type: "known", requestId: "r1", known: false });
    expect(test.end).toEqual(["RunnerUnavailableError"]);
  });
});

describe("a volatile request whose probe found no room in the queue to a busy runner", () => {
  const probe = { type: "probe", requestId: "r1" } as const;

  it("goes on, since that says nothing of the runner", async () => {
    const test = await sender();
    await test.clock.advance(PROBE_MS);
    test.delivery.undelivered("first", probe);
    test.delivery.receive({ type: "reply", reply: { requestId: "r1", exit: { ok: true, value: "2" } } });
    expect(test.end).toEqual([{ ok: true, value: "2" }]);
  });

  it("is given up like any that is not answered where none finds room (D3)", async () => {
    const test = await sender();
    for (let round = 0; round < 3; round += 1) {
      await test.clock.advance(PROBE_MS);
      test.delivery.undelivered("first", probe);
    }
    expect(test.end).toEqual([]);
    await test.clock.advance(PROBE_MS);
    expect(test.end).toEqual(["RunnerUnavailableError"]);
  });
});

describe("a persisted request", () => {
  const persisted = sampleRequest({ persisted: true });

  it("that its sender stored is never sent as one that nobody has seen", async () => {
    const test = await sender(persisted, null);
    await test.clock.advance(10_000);
    expect(test.sent).toEqual([]);
    test.owner = "first";
    test.delivery.routesChanged();
    expect(test.sent).toEqual(["request to first again"]);
  });

  it("of a clock that was set back is not either: how old it is nobody can tell", async () => {
    const made = new VirtualClock().now() + 5_000;
    const test = await sender(
      sampleRequest({ persisted: true, requestId: firstRequestIdOf(made).padEnd(32, "0") }),
    );
    expect(test.sent).toEqual(["request to first again"]);
  });

  it("that may have been accepted has its reply, although the next owner does not read as much at a time", async () => {
    const test = await sender(persisted);
    const { messages } = test.storage;
    const { shardId } = persisted.address;
    const [epoch = 0] = await messages.claimShards([shardId]);
    const fence: Fence = { shardId, epoch };
    await messages.saveRequest(persisted, 0, fence);
    test.tooSmall = "second";
    test.owner = "second";
    test.delivery.receive({
      type: "rejected",
      requestId: "r1",
      code: "NOT_ASSIGNED",
      detail: ACCEPTED_BEFORE,
    });
    await test.clock.advance(2_000);
    expect(test.end).toEqual([]);
    await messages.saveReply({ requestId: "r1", exit: { ok: true, value: "2" } }, fence, null);
    await test.clock.advance(2_000);
    expect(test.end).toEqual([{ ok: true, value: "2" }]);
  });

  it.each([
    { what: "an owner may have accepted", owner: "former" },
    { what: "its sender stored", owner: null },
  ])(
    "of a stream, which $what, is not said to be nowhere where its owner does not read as much",
    async (first) => {
      const test = await sender(sampleRequest({ persisted: true, expects: "stream" }), first.owner);
      test.tooSmall = "second";
      if (first.owner !== null) {
        test.owner = "second";
        const code = "NOT_ASSIGNED";
        test.delivery.receive({ type: "rejected", requestId: "r1", code, detail: ACCEPTED_BEFORE });
      }
      await test.clock.advance(5_000);
      test.owner = "second";
      test.delivery.routesChanged();
      expect(test.failures).toMatchObject([
        { name: "PersistenceError", outcome: "unknown", cause: { name: "PayloadTooLargeError" } },
      ]);
    },
  );

  it.each(["reply", "stream"] as const)(
    "that nobody has (%s) fails where its owner does not read as much",
    async (expects) => {
      const test = await sender({ ...persisted, expects }, null);
      test.tooSmall = "first";
      test.owner = "first";
      test.delivery.routesChanged();
      await test.clock.advance(200);
      expect(test.end).toEqual(["PayloadTooLargeError"]);
    },
  );

  it("is at work while it is looked for, whoever left it to storage", async () => {
    const { delivery, end, clock } = await sender(persisted);
    const refusal = { type: "rejected", requestId: "r1", detail: ACCEPTED_BEFORE } as const;
    delivery.receive({ ...refusal, code: "PERSISTENCE" });
    await clock.advance(100);
    delivery.receive({ ...refusal, code: "UNKNOWN_RPC" });
    await delivery.idle();
    expect(end).toEqual(["UnknownRpcError"]);
  });
});
