// What members say to each other, on a transport that carries no large messages, as a NATS server with a small `max_payload`.

import { Buffer } from "node:buffer";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import type { TransportAdapter } from "../adapter/storage-adapter.ts";
import type { Schema } from "../contract/schema.ts";
import { defineEntity } from "../define/entity.ts";
import { rpc } from "../contract/rpc.ts";
import { InvalidInputError, UnknownRpcError } from "../errors/routing.ts";
import { DeadLetteredError, PayloadTooLargeError } from "../errors/storage.ts";
import { createMemoryBackend } from "../memory/memory-backend.ts";
import { clusterOf, type Cluster } from "./cluster.ts";
import type { ClusterOptions } from "./config.ts";
import { createMember } from "./create-cluster.ts";
import type { Member } from "./member.ts";

const LIMIT_BYTES = 65_536;

class Members implements AsyncDisposable {
  readonly log: string[] = [];
  readonly #clock = new VirtualClock();
  readonly #backend = createMemoryBackend();
  readonly #random = new SeededRandom(1, () => this.#clock.now());
  readonly #members: Member[] = [];

  async start(options: ClusterOptions): Promise<Cluster> {
    const note = (message: string): void => void this.log.push(message);
    const member = await createMember(
      {
        storage: this.#backend.storage,
        runners: this.#backend.runners,
        transport: bounded(this.#backend.transport({})),
        logger: { debug: () => undefined, info: () => undefined, warn: note, error: note },
        ...options,
      },
      {
        clock: this.#clock,
        random: this.#random.fork(`member ${this.#members.length}`),
        environment: {},
        importModule: () => Promise.reject(new Error("no adapters here")),
      },
    );
    this.#members.push(member);
    const starting = member.start();
    await this.advance(5_000);
    await starting;
    return clusterOf(member);
  }

  advance(ms: number): Promise<void> {
    return this.#clock.advance(ms);
  }

  /** What a call fails with within a minute. */
  async errorOf(call: Promise<unknown>): Promise<unknown> {
    const never = Symbol("never");
    let error: unknown = never;
    const failed = call.then(
      () => (error = null),
      (reason: unknown) => (error = reason),
    );
    await this.advance(60_000);
    return error === never ? new Error("It did not end") : failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopping = Promise.all(this.#members.map((member) => member.shutdown()));
    await this.advance(60_000);
    await stopping;
  }
}

function bounded(adapter: TransportAdapter): TransportAdapter {
  return {
    kind: "transport",
    async open(context) {
      const transport = await adapter.open(context);
      return {
        start: (listener) => transport.start(listener),
        send(to, message) {
          const payloadBytes = Buffer.byteLength(JSON.stringify(message));
          if (payloadBytes > LIMIT_BYTES)
            throw new PayloadTooLargeError({
              what: `A message (${message.type})`,
              payloadBytes,
              limitBytes: LIMIT_BYTES,
            });
          transport.send(to, message);
        },
        close: (timeoutMs) => transport.close(timeoutMs),
      };
    },
  };
}

/** Takes no item of a list, and says of each why. */
const NONE: Schema<readonly string[], readonly string[]> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({
      issues: (value as readonly string[]).map((item, index) => ({
        message: `"${item}" is no amount`,
        path: [index],
      })),
    }),
  },
};

const Ledger = defineEntity({
  name: "Ledger",
  rpcs: {
    look: rpc({ input: NONE }),
    book: rpc({ input: NONE, persisted: true }),
    fail: rpc<void, void>({ persisted: true }),
  },
});
const ledger = Ledger.implement({
  look: () => undefined,
  book: () => undefined,
  fail() {
    throw Object.assign(new Error(`The bank said ${"x".repeat(2 * LIMIT_BYTES)}`), { retryable: true });
  },
});

describe("an answer to a member that is far", () => {
  it.each(["look", "book"])("says what the schema finds wrong, however much that is: %s", async (tag) => {
    await using members = new Members();
    await members.start({ register: [ledger] });
    const client = await members.start({ role: "client" });
    const amounts = Array.from({ length: 2_000 }, (_, index) => `ten thousand and ${index}`);
    const send = tag === "look" ? "send" : "sendPersisted";
    const error = await members.errorOf(client.entityClient("Ledger")[send]("a", tag, amounts));
    expect(error).toBeInstanceOf(InvalidInputError);
    const { issues } = error as InvalidInputError;
    expect(issues.slice(0, 2)).toEqual([
      { message: '"ten thousand and 0" is no amount', path: [0] },
      { message: '"ten thousand and 1" is no amount', path: [1] },
    ]);
    expect(issues.at(-1)).toEqual({ message: `and ${2_000 - (issues.length - 1)} more` });
  });

  it("says what is known, however many names that are", async () => {
    await using members = new Members();
    const rpcs = Object.fromEntries(
      Array.from({ length: 400 }, (_, index) => [`${index} ${"ä".repeat(100)}`, rpc<void, void>()]),
    );
    const many = defineEntity({ name: "Many", rpcs }).implement(
      Object.fromEntries(Object.keys(rpcs).map((name) => [name, () => undefined])),
    );
    await members.start({ register: [many] });
    const client = await members.start({ role: "client" });
    const error = await members.errorOf(client.entityClient("Many").send("a", "other"));
    expect(error).toBeInstanceOf(UnknownRpcError);
    expect((error as Error).message).toContain("0 ää");
  });

  it("says that it is a dead letter, however large the error of its last attempt was", async () => {
    await using members = new Members();
    await members.start({ register: [ledger], storageMessageMaxRetries: 0 });
    const client = await members.start({ role: "client" });
    const error = await members.errorOf(client.entity(Ledger, "a").fail());
    expect(error).toBeInstanceOf(DeadLetteredError);
    expect((error as Error).message).toMatch(/Last: The bank said x{1,2000}…/u);
  });
});
