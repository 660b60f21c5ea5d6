// One case of a storage suite: its own backend, the sessions it opened, and values to write.

import type {
  EncodedError,
  EntityAddress,
  Envelope,
  Fence,
  JournalEntry,
  MessageStorage,
  OpenStorage,
  Reply,
  ShardId,
} from "@holdfast/core/adapter";
import type { StorageBackend, StorageFactory } from "./storage-backend.ts";

/** What a case works with. Ids are numbered, so that a failure reads the same in every run. */
export class StorageCase {
  readonly backend: StorageBackend;
  readonly #sessions: OpenStorage[] = [];
  #made = 0;

  constructor(backend: StorageBackend) {
    this.backend = backend;
  }

  /** Opens one more session. The case closes it at its end, if nobody did. */
  async open(): Promise<OpenStorage> {
    const session = await this.backend.open();
    this.#sessions.push(session);
    return session;
  }

  /** The wall time of the sessions' clock. */
  now(): number {
    return this.backend.now?.() ?? Date.now();
  }

  /** A new id of the form that `Random.id()` gives. */
  id(): string {
    this.#made += 1;
    return `0190b2c0a3e07${this.#made.toString(16).padStart(3, "0")}8${"0".repeat(10)}${this.#made.toString(16).padStart(5, "0")}`;
  }

  /** A persisted request to `Counter/a` in shard `default:1`, with a new id, changed by `changes`. */
  request(changes: Partial<Envelope> = {}): Envelope {
    return {
      requestId: this.id(),
      address: address("a"),
      tag: "increment",
      payload: '{"amount":1}',
      headers: {},
      persisted: true,
      expects: "reply",
      deduplicationKey: null,
      deliverAt: null,
      uninterruptible: false,
      fromInside: false,
      sender: "memory://sender",
      readPendingFirst: false,
      ...changes,
    };
  }

  /** Claims a shard through `messages` and returns the fence of the new epoch. */
  async claim(messages: MessageStorage, shardId: ShardId = "default:1"): Promise<Fence> {
    const [epoch] = await messages.claimShards([shardId]);
    if (epoch === undefined) throw new Error("claimShards returned no epoch for its one shard.");
    return { shardId, epoch };
  }

  /** Saves each request, one after the other, on nobody's behalf; returns their sequences. */
  async save(messages: MessageStorage, ...envelopes: readonly Envelope[]): Promise<number[]> {
    const sequences: number[] = [];
    for (const envelope of envelopes) {
      const saved = await messages.saveRequest(envelope, 0, null);
      if (saved.outcome !== "accepted")
        throw new Error(`Request ${envelope.requestId} is a duplicate of another of its case.`);
      sequences.push(saved.sequence);
    }
    return sequences;
  }

  async end(): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.backend.dispose();
  }
}

/** Makes the body of a case: a fresh backend, one open session, and the end of both whatever happened. */
export function storageCases(
  factory: StorageFactory,
): (body: (session: OpenStorage, context: StorageCase) => Promise<void>) => () => Promise<void> {
  return (body) => async () => {
    const context = new StorageCase(await factory());
    try {
      await body(await context.open(), context);
    } finally {
      await context.end();
    }
  };
}

/** An entity in shard `default:1`, unless another shard is named. */
export function address(
  entityId: string,
  shardId: ShardId = "default:1",
  entityType: string = "Counter",
): EntityAddress {
  return { entityType, entityId, shardId };
}

export function succeeded(requestId: string, value: string = "1"): Reply {
  return { requestId, exit: { ok: true, value } };
}

export function failure(message: string): EncodedError {
  return { name: "Error", message, code: null, stack: null, data: null, cause: null, own: false };
}

/** A step that ended. Its position is its ordinal. */
export function completed(ordinal: number, value: string = "1"): JournalEntry {
  return {
    ordinal,
    position: ordinal,
    kind: "activity",
    name: "Inventory.reserve",
    event: { type: "completed", value },
  };
}
