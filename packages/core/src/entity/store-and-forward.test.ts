import { beforeEach, describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { ShardId } from "../data/shard-id.ts";
import { PersistenceError } from "../errors/storage.ts";
import { createMemoryBackend } from "../memory/memory-backend.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import { newOutgoing, type Outgoing } from "./outgoing.ts";
import { OutgoingRequests } from "./outgoing-requests.ts";
import { StoreAndForward } from "./store-and-forward.ts";

const POLL_MS = 500;

let clock: VirtualClock;
let messages: MessageStorage;
let outgoing: OutgoingRequests;
let said: string[];
let logged: string[];
let failures: Error[];
let owner: string | undefined;
let forward: (each: Outgoing) => void;
let way: StoreAndForward;
/** Whether some member says that it serves the type. */
let isServed: boolean;

beforeEach(async () => {
  clock = new VirtualClock();
  ({ messages } = await createMemoryBackend().storage.open({ clock, random: new SeededRandom(1) }));
  outgoing = new OutgoingRequests();
  said = [];
  logged = [];
  failures = [];
  owner = "owner";
  isServed = false;
  forward = ({ envelope }) => void said.push(`${envelope.requestId} is forwarded`);
  way = wayOver(messages);
});

function wayOver(storage: MessageStorage): StoreAndForward {
  return new StoreAndForward({
    messages: storage,
    clock,
    logger: {
      debug() {},
      info: (message) => void logged.push(message),
      warn: (message) => void logged.push(message),
      error() {},
    },
    sendRetryCount: 2,
    pollIntervalMs: POLL_MS,
    outgoing,
    stored: (shardId) => void said.push(`stored for ${shardId}`),
    found: ({ envelope }, { state, requestId }) =>
      void said.push(`${envelope.requestId} is ${state}, as ${requestId}`),
    ownerOf: () => owner,
    serves: () => isServed,
    forward: (each) => forward(each),
    failed: ({ envelope }, error) => {
      failures.push(error);
      said.push(`${envelope.requestId} failed: ${error.name}`);
    },
  });
}

/** A request that this sender has on its way. */
function send(
  requestId: string,
  key: string | null = null,
  shardId: ShardId = "default:1",
  isKept: boolean = false,
): Outgoing {
  const envelope = sampleRequest({
    requestId,
    address: { entityType: "Counter", entityId: "a", shardId },
    persisted: true,
    deduplicationKey: key,
  });
  const listener = {
    accepted: () => void said.push(`${requestId} is accepted`),
    chunk: () => undefined,
    reply: () => undefined,
    failed: () => undefined,
  };
  const sent = newOutgoing(envelope, listener, { isKept });
  outgoing.add(sent);
  return sent;
}

async function answer(requestId: string): Promise<void> {
  const [epoch] = await messages.claimShards(["default:1"]);
  const reply = { requestId, exit: { ok: true, value: "2" } } as const;
  await messages.saveReply(reply, { shardId: "default:1", epoch: epoch ?? 0 }, null);
}

describe("a request that is stored", () => {
  it("is accepted then, and its owner is told", async () => {
    await way.store(send("r1"));
    expect(said).toEqual(["r1 is accepted", "stored for default:1"]);
    expect(await messages.lookUp(["r1"])).toMatchObject([{ state: "pending", attempts: 0 }]);
  });

  it("is accepted as the first one of its key, of which is told what is known", async () => {
    await way.store(send("r1", "key"));
    await answer("r1");
    said.length = 0;
    await way.store(send("r2", "key"));
    expect(said).toEqual(["r2 is accepted", "r2 is answered, as r1"]);
  });

  it("fails after as many tries as it may have", async () => {
    let tries = 0;
    const broken = {
      ...messages,
      saveRequest: () => {
        tries += 1;
        return Promise.reject(
          new PersistenceError({ operation: "saveRequest", outcome: "unknown", detail: "broken" }),
        );
      },
    };
    const stored = wayOver(broken).store(send("r1"));
    await clock.advance(10_000);
    await stored;
    expect(tries).toBe(3);
    expect(said).toEqual(["r1 failed: PersistenceError"]);
  });
});

describe("a request that cannot be stored (S4)", () => {
  /** Stores it with tries that end so, and returns what it failed with. */
  async function outcomeOf(
    outcomes: readonly ("unknown" | "not-written")[],
    mayBeAccepted: boolean,
  ): Promise<unknown> {
    const left = [...outcomes];
    way = wayOver({
      ...messages,
      saveRequest: () => {
        const outcome = left.shift() ?? "unknown";
        return Promise.reject(new PersistenceError({ operation: "saveRequest", outcome, detail: "broken" }));
      },
    });
    const sent = send("r1");
    sent.mayBeAccepted = mayBeAccepted;
    const stored = way.store(sent);
    await clock.advance(10_000);
    await stored;
    return failures;
  }

  it.each([
    {
      of: "a try before the last",
      outcomes: ["unknown", "not-written", "not-written"],
      mayBeAccepted: false,
    },
    { of: "the last", outcomes: ["not-written", "not-written", "unknown"], mayBeAccepted: false },
    { of: "an owner", outcomes: ["not-written", "not-written", "not-written"], mayBeAccepted: true },
  ] as const)(
    "is not said to be unwritten where that is not known of $of",
    async ({ outcomes, mayBeAccepted }) => {
      expect(await outcomeOf(outcomes, mayBeAccepted)).toMatchObject([
        { name: "PersistenceError", outcome: "unknown", detail: "broken" },
      ]);
    },
  );

  it("is said to be unwritten where it surely is", async () => {
    expect(await outcomeOf(["not-written", "not-written", "not-written"], false)).toMatchObject([
      { name: "PersistenceError", outcome: "not-written" },
    ]);
  });
});

describe("a request that an owner refused, and may have accepted before (S3)", () => {
  const refusal = { type: "rejected", requestId: "r1", code: "UNKNOWN_RPC", detail: "" } as const;

  /** A request that `owner` was asked to take. */
  function ask(requestId: string, key: string | null = null): Outgoing {
    const asked = send(requestId, key);
    asked.target = "owner";
    asked.mayBeAccepted = true;
    return asked;
  }

  it("is found under its id, or as the first one of its key", async () => {
    await way.store(send("r1", "key"));
    await answer("r1");
    said.length = 0;
    for (const asked of [ask("r1", "key"), ask("r2", "key")]) await way.leave(asked, refusal);
    expect(said).toEqual(["r1", "r2"].flatMap((id) => [`${id} is accepted`, `${id} is answered, as r1`]));
  });

  it("is refused, and not stored, where it is not there", async () => {
    for (const asked of [ask("r1"), ask("r2", "key")]) await way.leave(asked, refusal);
    expect(said).toEqual(["r1 failed: UnknownRpcError", "r2 failed: UnknownRpcError"]);
    expect(await messages.lookUp(["r1", "r2"])).toEqual([]);
  });

  it("is stored where its owner lacks its code, if another member has it or it is kept for one", async () => {
    const unserved = { ...refusal, code: "UNKNOWN_ENTITY", detail: "" } as const;
    await way.leave(ask("r1"), unserved);
    expect(said).toEqual(["r1 failed: UnknownEntityError"]);
    said.length = 0;
    const kept = send("r2", null, "default:1", true);
    kept.mayBeAccepted = true;
    await way.leave(kept, unserved);
    isServed = true;
    await way.leave(ask("r3"), unserved);
    expect(said).toEqual(["r2", "r3"].flatMap((id) => [`${id} is accepted`, "stored for default:1"]));
  });

  it("is stored where its owner only lacks the room", async () => {
    await way.leave(ask("r1"), { ...refusal, code: "MAILBOX_FULL", detail: "1" });
    expect(said).toEqual(["r1 is accepted", "stored for default:1"]);
  });

  it("fails where storage cannot say, if nobody can have accepted it but under its key", async () => {
    let tries = 0;
    const lookUp: MessageStorage["lookUp"] = () => {
      tries += 1;
      const failure = { operation: "lookUp", outcome: "not-written", detail: "broken" } as const;
      return Promise.reject(new PersistenceError(failure));
    };
    const asked = ask("r1", "key");
    asked.mayBeAccepted = false;
    const left = wayOver({ ...messages, lookUp }).leave(asked, refusal);
    await clock.advance(60_000);
    await left;
    expect(tries).toBe(3);
    expect(said).toEqual(["r1 failed: PersistenceError"]);
  });

  it("is looked for until storage can say, or nobody waits for it", async () => {
    let isBroken = true;
    const lookUp: MessageStorage["lookUp"] = async (ids) => {
      if (isBroken)
        throw new PersistenceError({ operation: "lookUp", outcome: "not-written", detail: "broken" });
      return messages.lookUp(ids);
    };
    const broken = wayOver({ ...messages, lookUp });
    const [asked, left] = [ask("r1"), ask("r2")];
    const finding = Promise.all([asked, left].map((each) => broken.leave(each, refusal)));
    await clock.advance(60_000);
    expect(said).toEqual([]);
    // Not for each of the 240 tries.
    const failed = "A request could not be looked up; it is tried again";
    expect(logged).toEqual([failed, failed, failed]);
    outgoing.take("r2");
    isBroken = false;
    await clock.advance(POLL_MS);
    await finding;
    expect(said).toEqual(["r1 failed: UnknownRpcError"]);
    expect([asked.isStoring, left.isStoring]).toEqual([false, false]);
    expect(logged.slice(3)).toEqual(["No request is left that could not be looked up"]);
  });

  it("is no outage any more once nobody waits for it, and one while another cannot be looked up", async () => {
    const failing = new Set(["r1", "r2"]);
    const lookUp: MessageStorage["lookUp"] = async (ids) => {
      if (ids.some((id) => failing.has(id)))
        throw new PersistenceError({ operation: "lookUp", outcome: "not-written", detail: "broken" });
      return messages.lookUp(ids);
    };
    const broken = wayOver({ ...messages, lookUp });
    const finding = ["r1", "r2", "r3"].map((id) => broken.leave(ask(id), refusal));
    await clock.advance(POLL_MS * 4);
    failing.delete("r2");
    await clock.advance(POLL_MS * 4);
    const failed = "A request could not be looked up; it is tried again";
    expect(logged).toEqual([failed]);
    outgoing.take("r1");
    await clock.advance(POLL_MS);
    await Promise.all(finding);
    expect(logged.slice(1)).toEqual(["No request is left that could not be looked up"]);
  });

  it("is sent to the next owner, of whatever address, and not to the same one again", async () => {
    await way.store(send("r1"));
    await way.leave(ask("r1"), refusal);
    said.length = 0;
    way.forwardAll();
    expect(said).toEqual([]);
    owner = undefined;
    way.forwardAll();
    owner = "owner";
    way.forwardAll();
    expect(said).toEqual(["r1 is forwarded"]);
  });

  it("ends where storage has it no longer", async () => {
    const asked = ask("r1");
    await way.store(asked);
    await way.leave(asked, refusal);
    said.length = 0;
    asked.storedAs = "dropped";
    await clock.advance(POLL_MS);
    expect(said[0]).toBe("r1 failed: InterruptedError");
  });
});

describe("the owner of a shard for which a request was stored", () => {
  it("is told to read first until it took one that was sent after that (S1)", async () => {
    const before = send("before");
    before.readsUpTo = way.readsUpTo(before);
    expect(before.readsUpTo).toBeNull();
    await way.store(send("stored"));
    const after = send("after");
    after.readsUpTo = way.readsUpTo(after);
    expect(after.readsUpTo).not.toBeNull();
    // It was on its way before: its owner may not have read.
    way.takenIn(before);
    expect(way.readsUpTo(send("next"))).not.toBeNull();
    way.takenIn(after);
    expect(way.readsUpTo(send("next"))).toBeNull();
  });

  it("is told again where it refused one before it read, whose reply was found in storage", async () => {
    await way.store(send("first", "key"));
    await answer("first");
    await way.store(send("stored"));
    const refused = send("refused", "key");
    refused.target = "owner";
    refused.readsUpTo = way.readsUpTo(refused);
    await way.leave(refused, { type: "rejected", requestId: "refused", code: "UNKNOWN_RPC", detail: "" });
    expect(said.at(-1)).toBe("refused is answered, as first");
    way.takenIn(refused);
    expect(way.readsUpTo(send("next"))).not.toBeNull();
  });

  it("is told again where another one was stored meanwhile", async () => {
    await way.store(send("stored"));
    const after = send("after");
    after.readsUpTo = way.readsUpTo(after);
    await way.store(send("stored too"));
    way.takenIn(after);
    expect(way.readsUpTo(send("next"))).not.toBeNull();
  });

  it("is told again where it took one while the write was under way: it may have read before that", async () => {
    const { promise: written, resolve: write } = Promise.withResolvers<void>();
    way = wayOver({
      ...messages,
      saveRequest: (...args) => written.then(() => messages.saveRequest(...args)),
    });
    const storing = way.store(send("stored"));
    const meanwhile = send("meanwhile");
    meanwhile.readsUpTo = way.readsUpTo(meanwhile);
    expect(meanwhile.readsUpTo).not.toBeNull();
    way.takenIn(meanwhile);
    write();
    await storing;
    expect(way.readsUpTo(send("next"))).not.toBeNull();
  });

  it("is told nothing for other shards, nor of what is stored itself", async () => {
    const stored = send("stored");
    await way.store(stored);
    expect(way.readsUpTo(stored)).toBeNull();
    expect(way.readsUpTo(send("elsewhere", null, "default:2"))).toBeNull();
  });
});

describe("what is stored", () => {
  it("is looked up at each poll, until nobody waits for it (S2)", async () => {
    let looks = 0;
    const lookUp = messages.lookUp.bind(messages);
    messages.lookUp = (ids) => {
      looks += 1;
      return lookUp(ids);
    };
    await way.store(send("r1"));
    said.length = 0;
    await clock.advance(POLL_MS);
    expect(said).toEqual(["r1 is pending, as r1", "r1 is forwarded"]);
    await answer("r1");
    said.length = 0;
    await clock.advance(POLL_MS);
    expect(said[0]).toBe("r1 is answered, as r1");
    outgoing.take("r1");
    await clock.advance(POLL_MS);
    looks = 0;
    await clock.advance(10 * POLL_MS);
    expect(looks).toBe(0);
  });

  it("is forwarded where it has no owner, and not what ended meanwhile", async () => {
    await way.store(send("r1"));
    await way.store(send("r2"));
    const owned = send("r3");
    await way.store(owned);
    owned.target = "somebody";
    send("r4");
    said.length = 0;
    forward = ({ envelope }) => {
      said.push(envelope.requestId);
      outgoing.take("r2");
    };
    way.forwardAll();
    expect(said).toEqual(["r1"]);
  });
});
