import {
  ConfigError,
  createCluster,
  createMemoryBackend,
  defineEntity,
  defineWorkflow,
  InvalidInputError,
  PayloadTooLargeError,
  ProtectedRpcError,
  RemoteError,
  rpc,
  SerializationError,
  TimeoutError,
  TransactionUnavailableError,
  UnknownEntityError,
  UnknownRpcError,
  type Schema,
} from "@holdfast/core";
import { transactionScopeOf, type WireMessage } from "@holdfast/core/adapter";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import * as z from "zod";

const calls: unknown[] = [];

const Desk = defineEntity({
  name: "Desk",
  rpcs: {
    charge: rpc({ input: z.object({ cents: z.int().positive() }), output: z.int(), persisted: true }),
    note: rpc<unknown, unknown>(),
    throwText: rpc<void, void>(),
    throwOdd: rpc<void, void>(),
    throwHostile: rpc<string, void>({ persisted: true }),
    returnOdd: rpc<void, unknown>(),
    breakPromise: rpc({ output: z.int(), persisted: true }),
    never: rpc<void, void>(),
    transact: rpc<void, void>({ persisted: true }),
    audit: rpc<void, string>({ visibility: "protected" }),
    book: rpc<{ id?: string }, void>({ persisted: true, primaryKey: ({ id }) => id as string }),
  },
});

const desk = Desk.implement({
  charge({ cents }) {
    calls.push(cents);
    return cents;
  },
  note: (value) => value,
  throwText() {
    throw "out of paper"; // oxlint-disable-line no-throw-literal, only-throw-error -- what this is about
  },
  throwOdd() {
    throw Object.assign(new Error("the printer is on fire"), {
      code: "E_FIRE",
      socket: () => undefined,
      room: 7,
    });
  },
  throwHostile(trap) {
    const refuse = (): never => {
      throw new Error("do not look");
    };
    throw trap === "name"
      ? Object.defineProperty(new Error("x"), "name", { value: Symbol("name") })
      : new Proxy(new Error("x"), { [trap]: refuse });
  },
  returnOdd: () => ({ run: () => undefined }),
  breakPromise: () => "five" as unknown as number,
  never: () => new Promise<void>(() => undefined),
  transact(_input, ctx) {
    transactionScopeOf(ctx, "postgres").open("postgres");
  },
  audit: () => "fine",
  book: () => undefined,
});

async function cluster() {
  return createTestCluster({ register: [desk], seed: 1 });
}

/** The error that a call ends with. */
async function errorOf(call: Promise<unknown>): Promise<Error> {
  return call.then(
    () => {
      throw new Error("The call was expected to fail");
    },
    (error: Error) => error,
  );
}

describe("bad input", () => {
  it("that does not fit its schema is refused at the caller, and nothing is sent", async () => {
    await using test = await cluster();
    const before = calls.length;
    const error = await errorOf(test.entity(Desk, "a").charge({ cents: -5 }));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.message).toMatch(/^The input of Desk\.charge does not fit its schema: cents: /u);
    expect((error as InvalidInputError).issues).toHaveLength(1);
    expect(test.metrics.snapshot()["pendingCalls"]).toBe(0);
    expect(calls).toHaveLength(before);
  });

  it("that does not fit its schema is refused at the runner again, and nothing is stored", async () => {
    await using test = await cluster();
    const before = calls.length;
    // The untyped client of a member that knows no schema sends what it is given.
    const error = await errorOf(test.entityClient("Desk").sendPersisted("a", "charge", { cents: "many" }));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.message).toMatch(/^The input of Desk\.charge does not fit its schema: cents: /u);
    expect(calls).toHaveLength(before);
    expect(await test.deadLetters.list()).toEqual([]);
    expect(test.runners[0]?.metrics.snapshot()["accepted"]).toBe(0);
  });

  it.each([
    ["zod", z.string()],
    ["valibot", v.string()],
    ["arktype", type("string")],
  ] as const)("is said to be wrong as a whole where no part of it is, by %s", async (_library, input) => {
    const Slip = defineEntity({ name: "Slip", rpcs: { file: rpc({ input }) } });
    await using test = await createTestCluster({ register: [Slip.implement({ file: () => undefined })] });
    for (const call of [
      test.entity(Slip, "a").file(5 as never),
      // The runner says it.
      test.entityClient("Slip").send("a", "file", 5),
    ]) {
      const error = (await errorOf(call)) as InvalidInputError;
      expect(error).toBeInstanceOf(InvalidInputError);
      const [issue] = error.issues;
      expect(error.message).toBe(`The input of Slip.file does not fit its schema: ${issue?.message}.`);
      expect([...(issue?.path ?? [])]).toEqual([]);
    }
  });

  it.each<[string, () => unknown]>([
    ["a path that is null", () => ({ issues: [{ message: "not today", path: null }] })],
    ["a message that is no text", () => ({ issues: [{ message: 5n }] })],
    [
      "what cannot be asked what it is",
      () => {
        throw new Proxy(new Error("x"), {
          getPrototypeOf: () => {
            throw new Error("do not look");
          },
        });
      },
    ],
    ["nothing", () => undefined],
    [
      "a promise of another library",
      () => ({ then: (take: (to: object) => void) => take({ issues: [{ message: "no" }] }) }),
    ],
  ])(
    "that a schema refuses with %s at the runner alone is refused, and the runner goes on",
    async (_what, refused) => {
      let times = 0;
      const validate = (value: unknown): unknown => {
        times += 1;
        return times === 1 ? { value } : refused();
      };
      const input = { "~standard": { version: 1, vendor: "own", validate } } as Schema;
      const Odd = defineEntity({ name: "Odd", rpcs: { take: rpc({ input }), wait: rpc<void, number>() } });
      const odd = Odd.implement({ take: () => undefined, wait: () => 1 });
      await using test = await createTestCluster({ register: [odd] });
      const taken = errorOf(test.entity(Odd, "a").take(1));
      await test.advance("1 second");
      expect(await Promise.race([taken, "no answer"])).toBeInstanceOf(InvalidInputError);
      expect(await test.entity(Odd, "a").wait()).toBe(1);
    },
  );

  it("for an unknown entity type is a named error, at once", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entityClient("Dusk").send("a", "note"));
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toBe(
      'No runner serves the entity type "Dusk". Served here: Desk. Register its implementation on each runner of its shard group, since the owner of the entity\'s shard handles it, and give entityClient() that group where it is not "default".',
    );
  });

  it("for a workflow that nobody serves is a named error, at once", async () => {
    await using test = await cluster();
    const error = await errorOf(test.workflow(defineWorkflow<void, void>({ name: "Dusk" })).start());
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toBe(
      'No runner serves the workflow "Dusk". Served here: Desk. Register its implementation on each runner of its shard group, since the owner of the execution\'s shard runs it.',
    );
  });

  it("for an unknown rpc is a named error", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entityClient("Desk").send("a", "chrge"));
    expect(error).toBeInstanceOf(UnknownRpcError);
    expect(error.message).toMatch(
      /^The entity type "Desk" has no rpc "chrge"\. It has: audit, book, breakPromise, charge, /u,
    );
  });

  it("for a protected rpc from outside is a named error", async () => {
    await using test = await cluster();
    const client = test.entity(Desk, "a") as unknown as { audit(): Promise<string> };
    for (const error of [
      await errorOf(client.audit()),
      await errorOf(test.entityClient("Desk").send("a", "audit")),
    ]) {
      expect(error).toBeInstanceOf(ProtectedRpcError);
      expect(error.message).toMatch(/^The rpc "audit" of "Desk" is protected: /u);
    }
  });

  it("over the limit is refused before it is sent", async () => {
    await using test = await createTestCluster({ register: [desk], maxPayloadBytes: 2_048 });
    const error = await errorOf(test.entity(Desk, "a").note("x".repeat(3_000)));
    expect(error).toBeInstanceOf(PayloadTooLargeError);
    expect(error.message).toBe(
      "The input of Desk/a.note takes 3002 bytes, more than the limit of 2048. Store it elsewhere and send a reference, or raise maxPayloadBytes.",
    );
  });

  it("that cannot be serialised is refused with its path", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").note({ deep: [1, { f: () => 1 }] }));
    expect(error).toBeInstanceOf(SerializationError);
    expect(error.message).toMatch(
      /^The input of Desk\/a\.note cannot be serialised: "deep\[1\]\.f" is a function\./u,
    );
  });

  it("with an id that is none is refused", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "").note(1));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/^Option "entityId" is empty/u);
  });

  it("with an id, a key or a tag that storages cannot look up is refused", async () => {
    await using test = await cluster();
    const charge = (id: string, idempotencyKey: string): Promise<number> =>
      test.entity(Desk, id).charge({ cents: 1 }, { idempotencyKey });
    // Three bytes each.
    const refused = [
      ["entityId", charge("鍵".repeat(342), "k")],
      ["idempotencyKey", charge("a", "鍵".repeat(342))],
      ["tag", test.entityClient("Desk").sendPersisted("a", "t".repeat(257), 1)],
    ] as const;
    for (const [option, call] of refused) {
      const error = await errorOf(call);
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).option).toBe(option);
    }
    expect(await charge("鍵".repeat(341), "鍵".repeat(341))).toBe(1);
  });

  it.each<[string, string, (test: TestCluster) => unknown]>([
    ["a tag that is empty", "tag", (test) => test.entityClient("Desk").send("a", "")],
    ["a tag that is missing", "tag", (test) => test.entityClient("Desk").send("a", undefined as never)],
    ["a tag that is no text", "tag", (test) => test.entityClient("Desk").sendPersisted("a", 5 as never)],
    ["a type that is empty", "entityType", (test) => test.entityClient("").send("a", "note")],
    ["null for options", "options", (test) => test.entityClient("Desk", null as never)],
    [
      "a shard group that is no text",
      "shardGroup",
      (test) => test.entityClient("Dusk", { shardGroup: 5 as never }),
    ],
    ["half of a character in an id", "entityId", (test) => test.entity(Desk, "a\ud800").note(1)],
    [
      "half of a character in a header",
      "headers.tenant",
      (test) => test.entity(Desk, "a").note(1, { headers: { tenant: "a\ud800" } }),
    ],
    [
      "a header of the library's own",
      "headers.holdfast-joining",
      (test) => test.entity(Desk, "a").charge.notify({ cents: 1 }, { headers: { "holdfast-joining": "" } }),
    ],
    ["null for headers", "headers", (test) => test.entity(Desk, "a").note(1, { headers: null as never })],
    [
      "a Map for headers",
      "headers",
      (test) => test.entity(Desk, "a").note(1, { headers: new Map([["tenant", "a"]]) as never }),
    ],
    [
      "those of a web request for headers",
      "headers",
      (test) => test.entity(Desk, "a").note(1, { headers: new Headers({ tenant: "a" }) as never }),
    ],
    ["text for headers", "headers", (test) => test.entity(Desk, "a").note(1, { headers: "a" as never })],
    [
      "text for yes",
      "uninterruptible",
      (test) => test.entity(Desk, "a").note(1, { uninterruptible: "no" as never }),
    ],
    [
      "a signal that nobody can stop to listen to",
      "signal",
      (test) =>
        test.entity(Desk, "a").note(1, { signal: { aborted: false, addEventListener() {} } as never }),
    ],
    ["a primary key that is none", "primaryKey", (test) => test.entity(Desk, "a").book({})],
    ["no definition", "definition", (test) => test.entity(undefined as never, "a")],
    ["an implementation", "definition", (test) => test.entity(desk as never, "a")],
    ["no workflow", "definition", (test) => test.workflow(undefined as never)],
    ["an entity for a workflow", "definition", (test) => test.workflow(Desk as never)],
    ["fewer than none", "limit", (test) => test.deadLetters.list({ limit: -1 })],
    ["null for a query", "options", (test) => test.deadLetters.list(null as never)],
    ["no id", "requestId", (test) => test.deadLetters.requeue(undefined as never)],
  ])("is a ConfigError where it is %s", async (_what, option, ask) => {
    await using test = await cluster();
    const error = await errorOf((async () => ask(test))());
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).option).toBe(option);
  });

  it("with an option that there is not is refused, before anything is sent", async () => {
    await using test = await cluster();
    const misspelt = { timout: "5s" } as object;
    const charged = calls.length;
    const { note, charge } = test.entity(Desk, "a");
    for (const call of [
      note(1, misspelt),
      charge({ cents: 1 }, misspelt),
      charge.notify({ cents: 1 }, misspelt),
    ]) {
      const error = await errorOf(call);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain('Did you mean "timeout"?');
    }
    expect(await errorOf(note(1, "5s" as unknown as object))).toBeInstanceOf(ConfigError);
    expect(calls).toHaveLength(charged);
  });

  it("with a time before 1970 is due at once, and its time is one that peers and storages take", async () => {
    const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, number>({ persisted: true }) } });
    const bell = Bell.implement({ ring: (_input, { deliverAt }) => deliverAt?.getTime() ?? -1 });
    await using test = await createTestCluster({ register: [bell], seed: 1 });
    await expect(test.entity(Bell, "a").ring(undefined, { deliverAt: new Date(-1_000) })).resolves.toBe(0);
  });

  it("at no time, of code without types, is refused, and not sent at once", async () => {
    const rung: string[] = [];
    const Bell = defineEntity({ name: "Bell", rpcs: { ring: rpc<void, void>({ persisted: true }) } });
    const bell = Bell.implement({ ring: (_input, { entityId }) => void rung.push(entityId) });
    await using test = await createTestCluster({ register: [bell], seed: 1 });
    const { sendAt, notifyAt } = test.entityClient("Bell");
    const never = undefined as unknown as Date;
    for (const call of [sendAt("a", "ring", undefined, never), notifyAt("a", "ring", undefined, never)])
      expect(await errorOf(call)).toMatchObject({ code: "CONFIG", option: "deliverAt" });
    expect(rung).toEqual([]);
  });

  it("with options that only persisted rpcs take is refused", async () => {
    await using test = await cluster();
    for (const options of [{ idempotencyKey: "k" }, { deliverAt: new Date(0) }]) {
      const error = await errorOf(test.entity(Desk, "a").note(1, options));
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toContain("The rpc is not persisted");
    }
  });
});

describe("a handler that misbehaves", () => {
  it("by throwing what is no Error gives a RemoteError that says so", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").throwText());
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.message).toBe('Something that is not an Error was thrown: "out of paper"');
  });

  it("by throwing an Error with fields that cannot travel loses those fields alone", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").throwOdd());
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({
      name: "Error",
      message: "the printer is on fire",
      code: "E_FIRE",
      data: { room: 7 },
    });
    expect(error.stack).toContain("throwOdd");
  });

  it.each([["getPrototypeOf"], ["get"], ["has"], ["ownKeys"], ["name"]])(
    "by throwing what throws itself when it is looked at (%s) gives a RemoteError",
    async (trap) => {
      await using test = await cluster();
      const error = await errorOf(test.entity(Desk, "a").throwHostile(trap));
      expect(error).toBeInstanceOf(RemoteError);
    },
  );

  it("keeps its stack to itself where exposeStacks is false", async () => {
    await using test = await createTestCluster({ register: [desk], exposeStacks: false });
    expect((await errorOf(test.entity(Desk, "a").throwOdd())).stack).not.toContain("throwOdd");
  });

  it("by returning what cannot be serialised gives an error that says where", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").returnOdd());
    expect(error).toBeInstanceOf(SerializationError);
    expect(error.message).toMatch(
      /^The reply of Desk\/a\.returnOdd cannot be serialised: "run" is a function\./u,
    );
  });

  it("by returning what does not fit its output's schema gives an error, and that is recorded", async () => {
    await using test = await cluster();
    const call = () => test.entity(Desk, "a").breakPromise(undefined, { idempotencyKey: "once" });
    const [first, second] = [await errorOf(call()), await errorOf(call())];
    expect(first.message).toMatch(/The reply of Desk\/a\.breakPromise does not fit its schema/u);
    expect(second.message).toBe(first.message);
  });

  it("by never ending ends with its caller's timeout", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").never(undefined, { timeout: "2s" }));
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error.message).toBe(
      "Desk/a.never gave no reply within 2000 ms. It may have run, in part or whole: repeat it only if that is harmless, or give it a longer timeout.",
    );
  });

  it("by never ending does not hold up a shutdown for longer than entityTerminationTimeout", async () => {
    const test = await createTestCluster({ register: [desk], entityTerminationTimeout: "3s" });
    const call = errorOf(test.entity(Desk, "a").never());
    await test.advance("1s");
    const before = test.now();
    await test.shutdown();
    expect(test.now() - before).toBeLessThan(10_000);
    expect(await call).toMatchObject({ code: expect.stringMatching(/INTERRUPTED|CLUSTER_CLOSED/u) });
  });

  it("by asking for a transaction that the storage has not gets TransactionUnavailableError", async () => {
    await using test = await cluster();
    const error = await errorOf(test.entity(Desk, "a").transact());
    expect(error).toBeInstanceOf(TransactionUnavailableError);
    expect(error.message).toMatch(
      /^No postgres transaction here: the cluster's storage has no transactions for handlers/u,
    );
  });
});

describe("a message that is none", () => {
  it("is ignored, and the runner goes on", async () => {
    const backend = createMemoryBackend();
    const options = {
      storage: backend.storage,
      runners: backend.runners,
      shardRebalanceDebounce: 0,
      register: [desk],
    };
    await using runner = await createCluster({
      ...options,
      transport: backend.transport({ address: "runner" }),
    });
    await runner.start();
    const stray = backend.network.join(
      "stray",
      { receive: () => undefined, undelivered: () => undefined, disconnected: () => undefined },
      {
        now: () => 0,
        monotonic: () => 0,
        setTimer: () => ({ cancel: () => undefined }),
        nextTurn: () => Promise.resolve(),
        afterTurn: queueMicrotask,
      },
    );
    for (const message of [
      { type: "reply", reply: { requestId: "?", exit: { ok: true, value: "{" } } },
      { type: "nonsense" },
      { type: "interrupt", requestId: "?", shardId: "x:1" },
    ]) {
      stray.send("runner", message as WireMessage);
    }
    await expect(runner.entity(Desk, "a").note("still here")).resolves.toBe("still here");
  });
});
