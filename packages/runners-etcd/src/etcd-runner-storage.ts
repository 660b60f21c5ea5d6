// EtcdRunnerStorage: members and shard leases as keys of etcd, each member's under one lease of its own.
//
//   PREFIX/runners/ID   the member's record, as JSON
//   PREFIX/shards/SHARD the id of the member that holds the shard
//   PREFIX/changes/ID   empty; its version counts the acquisitions and releases of the member
//
//   E1  Every key is under its member's lease, so that all of them end with it.
//   E2  A shard's key is created only if it is not there, and removed by name only if it is this member's.
//   E3  The lease's id is chosen here, so that a call whose answer was lost can be made again.
//   E4  Shards are acquired and released only if the member made no other such change since: a try that was given up, and that a
//       member of etcd passes on late, would take what this runner gave back, and nobody would give that back again; or it
//       would give away what the runner took again, and goes on with.
//   E5  A lease without its member's record is over for its member: who deleted the keys left the lease, and to refresh that
//       would keep a member that nobody lists, and that would own nothing for ever.

import type { Random, RunnerRecord, RunnerStorage, ShardId } from "@holdfast/core/adapter";
import {
  castGrpcError,
  EtcdLeaseInvalidError,
  GRPCFailedPreconditionError,
  type IRequestOp,
  type IResponseOp,
} from "etcd3";
import type { CallOptions, EtcdSession } from "./etcd-session.ts";
import { EtcdWatch, endOf } from "./etcd-watch.ts";

/** etcd takes 128 operations in a transaction unless it is told otherwise. */
const SHARDS_PER_TRANSACTION = 100;
/** So long a refresh waits for the member's record: the lease is renewed by then, and a short one must hear of that in time. */
const RECORD_MS = 500;

interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  /** 0: none. */
  readonly lease: string;
}

export class EtcdRunnerStorage implements RunnerStorage {
  readonly supports: { readonly watch: boolean } = { watch: true };
  readonly #session: EtcdSession;
  readonly #random: Random;
  /** The leases of members that registered here. */
  readonly #leases = new Map<string, string>();
  /** How often members acquired and released shards, as last heard. */
  readonly #changes = new Map<string, string>();
  readonly #watches = new Set<EtcdWatch>();

  constructor(session: EtcdSession, random: Random) {
    this.#session = session;
    this.#random = random;
  }

  async register(record: RunnerRecord, ttlMs: number): Promise<void> {
    const { runnerId } = record;
    // To put a key under a lease does not renew it.
    const held = await this.#renewed(runnerId);
    if (held !== null && (await this.#put(record, held))) return;
    const lease = await this.#grant(ttlMs);
    this.#leases.set(runnerId, lease);
    await this.#put(record, lease);
  }

  async refresh(runnerId: string): Promise<"held" | "lost"> {
    const lease = await this.#renewed(runnerId);
    // One without its record is still known here, so that `unregister` ends it.
    return lease !== null && (await this.#isRecorded(runnerId, lease)) ? "held" : "lost";
  }

  async unregister(runnerId: string): Promise<void> {
    const lease = await this.#leaseOf(runnerId);
    if (lease === null) return;
    await this.#session.call("unregister", "write", async (options) => {
      try {
        await this.#session.client.leaseClient.leaseRevoke({ ID: lease }, options);
      } catch (error) {
        // It ran out, or an earlier try revoked it.
        if (!(error instanceof EtcdLeaseInvalidError)) throw error;
      }
    });
    this.#forget(runnerId);
  }

  async listRunners(): Promise<readonly RunnerRecord[]> {
    const rows = await this.#list("listRunners", "runners/");
    return rows.map(({ value }) => JSON.parse(value.toString()) as RunnerRecord);
  }

  async acquireShards(runnerId: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]> {
    const lease = await this.#leaseOf(runnerId);
    if (lease === null) return [];
    const held: ShardId[] = [];
    // One after the other: each is a change (E4).
    for (const some of chunks(shardIds)) held.push(...(await this.#acquire(runnerId, lease, some)));
    return held;
  }

  async releaseShards(runnerId: string, shardIds: readonly ShardId[]): Promise<void> {
    const lease = await this.#leaseOf(runnerId);
    // What it held ended with its lease.
    if (lease === null) return;
    for (const some of chunks(shardIds)) await this.#release(runnerId, lease, some);
  }

  async listShards(): Promise<ReadonlyMap<ShardId, string>> {
    const rows = await this.#list("listShards", "shards/");
    const start = this.#key("shards/").length;
    return new Map(
      rows.map(({ key, value }) => [key.subarray(start).toString() as ShardId, value.toString()]),
    );
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    const watch = new EtcdWatch(this.#session, changed);
    this.#watches.add(watch);
    await watch.start();
    return () => {
      watch.stop();
      this.#watches.delete(watch);
      return Promise.resolve();
    };
  }

  /** Ends the watches and the connections. Leases stay until they are revoked or run out. */
  close(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    this.#watches.clear();
    this.#session.close();
    return Promise.resolve();
  }

  #forget(runnerId: string): void {
    this.#leases.delete(runnerId);
    this.#changes.delete(runnerId);
  }

  /** The lease of a member: registered here, or found at its key. Null: it has none. */
  async #leaseOf(runnerId: string): Promise<string | null> {
    const known = this.#leases.get(runnerId);
    if (known !== undefined) return known;
    return this.#recordedLease(runnerId);
  }

  async #recordedLease(runnerId: string, timeoutMs?: number): Promise<string | null> {
    const key = this.#runnerKey(runnerId);
    const { kvs } = await this.#session.call(
      "find",
      "read",
      (options) => this.#session.client.kv.range({ key }, options),
      timeoutMs,
    );
    return kvs[0]?.lease ?? null;
  }

  /** The member's lease, with its full term again. Null: it is over. */
  async #renewed(runnerId: string): Promise<string | null> {
    const lease = await this.#leaseOf(runnerId);
    if (lease === null) return null;
    const ttl = await this.#session.call("refresh", "write", (options) => this.#keepAlive(lease, options));
    if (Number(ttl) > 0) return lease;
    this.#forget(runnerId);
    return null;
  }

  /** Whether the record is under this lease (E5). Where etcd does not say so at once, the next refresh finds out. */
  async #isRecorded(runnerId: string, lease: string): Promise<boolean> {
    try {
      return (await this.#recordedLease(runnerId, Math.min(RECORD_MS, this.#session.timeoutMs))) === lease;
    } catch {
      return true;
    }
  }

  /** Under an id of ours, so that a grant that was made already is seen as such (E3). */
  async #grant(ttlMs: number): Promise<string> {
    const lease = BigInt(`0x${this.#random.id().slice(-15)}`).toString();
    await this.#session.call("register", "write", async (options) => {
      try {
        // Whole seconds, never fewer than asked for: who holds it stops by its own clock before.
        await this.#session.client.leaseClient.leaseGrant(
          { ID: lease, TTL: Math.ceil(ttlMs / 1_000) },
          options,
        );
      } catch (error) {
        if (!(error instanceof GRPCFailedPreconditionError)) throw error;
      }
    });
    return lease;
  }

  /** Whether the record is there now. False: the lease is over. */
  #put(record: RunnerRecord, lease: string): Promise<boolean> {
    return this.#whileLeased(
      "register",
      async (options) => {
        await this.#session.client.kv.put(
          { key: this.#runnerKey(record.runnerId), value: Buffer.from(JSON.stringify(record)), lease },
          options,
        );
        return true;
      },
      false,
    );
  }

  async #acquire(runnerId: string, lease: string, shardIds: readonly ShardId[]): Promise<readonly ShardId[]> {
    const value = Buffer.from(runnerId);
    const takes = shardIds.map((shardId) => {
      const key = this.#shardKey(shardId);
      return nested({
        compare: [{ target: "Create", key, create_revision: 0, result: "Equal" }],
        success: [{ request_put: { key, value, lease } }],
        failure: [{ request_range: { key } }],
      });
    });
    const answers = await this.#change("acquireShards", runnerId, lease, takes);
    return shardIds.filter((_, index) => isHeldUnder(lease, answers[index]));
  }

  async #release(runnerId: string, lease: string, shardIds: readonly ShardId[]): Promise<void> {
    const deletions = shardIds.map((shardId) => {
      const key = this.#shardKey(shardId);
      return nested({
        compare: [{ target: "Value", key, value: Buffer.from(runnerId), result: "Equal" }],
        success: [{ request_delete_range: { key } }],
      });
    });
    await this.#change("releaseShards", runnerId, lease, deletions);
  }

  /** Does all of it, as a change of its own (E4). Returns the answers; none if the lease is over. */
  #change(
    operation: string,
    runnerId: string,
    lease: string,
    operations: readonly IRequestOp[],
  ): Promise<readonly IResponseOp[]> {
    const key = this.#changesKey(runnerId);
    return this.#whileLeased(
      operation,
      async (options) => {
        for (;;) {
          const version = this.#changes.get(runnerId) ?? "0";
          const { succeeded, responses } = await this.#session.client.kv.txn(
            {
              compare: [{ target: "Version", key, version, result: "Equal" }],
              success: [...operations, { request_put: { key, lease } }],
              failure: [{ request_range: { key } }],
            },
            options,
          );
          if (succeeded) {
            this.#changes.set(runnerId, String(Number(version) + 1));
            return responses;
          }
          // There was another change since, or none is known here: this try is another one, from now on (E4).
          this.#changes.set(runnerId, responses[0]?.response_range.kvs[0]?.version ?? "0");
        }
      },
      [],
    );
  }

  async #list(operation: string, folder: "runners/" | "shards/"): Promise<readonly KeyValue[]> {
    const key = this.#key(folder);
    const { kvs } = await this.#session.call(operation, "read", (options) =>
      this.#session.client.kv.range({ key, range_end: endOf(key) }, options),
    );
    return kvs;
  }

  /** The term that the lease has now, in seconds. 0 or less: it is over. */
  async #keepAlive(lease: string, options: CallOptions): Promise<string> {
    const stream = await this.#session.client.leaseClient.leaseKeepAlive(options);
    return new Promise<string>((resolve, reject) => {
      stream.on("data", ({ TTL }) => {
        resolve(TTL);
        stream.end();
      });
      // A stream's errors come as gRPC has them; whether to try again is asked of the client's own.
      stream.on("error", (error: Error) => reject(castGrpcError(error)));
      stream.on("end", () => reject(new Error("etcd ended the stream without an answer")));
      stream.write({ ID: lease });
    });
  }

  /** `otherwise` if the lease is over; then nothing was written. */
  #whileLeased<Result>(
    operation: string,
    write: (options: CallOptions) => Promise<Result>,
    otherwise: Result,
  ): Promise<Result> {
    return this.#session.call(operation, "write", async (options) => {
      try {
        return await write(options);
      } catch (error) {
        if (error instanceof EtcdLeaseInvalidError) return otherwise;
        throw error;
      }
    });
  }

  #runnerKey(runnerId: string): Buffer {
    return this.#key(`runners/${runnerId}`);
  }

  #changesKey(runnerId: string): Buffer {
    return this.#key(`changes/${runnerId}`);
  }

  #shardKey(shardId: ShardId): Buffer {
    return this.#key(`shards/${shardId}`);
  }

  #key(name: string): Buffer {
    return Buffer.from(this.#session.prefix + name);
  }
}

/** Whether a shard is this lease's now, by its part of the answer: also if an earlier try of the call acquired it. */
function isHeldUnder(lease: string, answer: IResponseOp | undefined): boolean {
  const { succeeded, responses } = answer?.response_txn ?? { succeeded: false, responses: [] };
  return succeeded || responses[0]?.response_range.kvs[0]?.lease === lease;
}

function nested(transaction: NonNullable<IRequestOp["request_txn"]>): IRequestOp {
  return { request_txn: transaction };
}

function chunks(shardIds: readonly ShardId[]): readonly (readonly ShardId[])[] {
  const count = Math.ceil(shardIds.length / SHARDS_PER_TRANSACTION);
  return Array.from({ length: count }, (_, index) =>
    shardIds.slice(index * SHARDS_PER_TRANSACTION, (index + 1) * SHARDS_PER_TRANSACTION),
  );
}
