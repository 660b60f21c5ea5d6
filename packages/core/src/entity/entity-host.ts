// EntityHost: the owner's side of every request. One on each runner.
//
// Stands between transport or local callers (`receive`), the shards (`take`, `drain`, `drop`), storage's pending work
// (inbox.ts) and the entities in memory (activations.ts). What is admitted, and when, is in admission.ts, and how shards leave
// in shard-departure.ts.
// Routes nothing.
//
//   H1  A shard is served only while it is here, not draining, and the lease is held at that very moment.
//   H2  A request is in memory at most once, whoever sends it, however often.
//   H3  Everyone who waits for a request that leaves memory is told: its reply, or that it must be asked for elsewhere.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import type { Logger } from "../contract/logger.ts";
import { BriefMap } from "../data/brief-map.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import type { Activation } from "./activation.ts";
import { Activations } from "./activations.ts";
import { Admission, type AdmissionOptions, type RequestMessage } from "./admission.ts";
import { absence, deadReply, failure, replyMessage } from "./answers.ts";
import type { EntityBehavior, Suspension } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import { Eviction } from "./eviction.ts";
import type { HostedRequest } from "./hosted-request.ts";
import type { HostedShard } from "./hosted-shard.ts";
import { HostedShards } from "./hosted-shards.ts";
import { Inbox } from "./inbox.ts";
import { KeptChunks } from "./kept-chunks.ts";
import { NewestRequests } from "./newest-requests.ts";
import { PuttingOff } from "./putting-off.ts";
import { notHere } from "./rejection.ts";
import { ReplyWaiters, type Answer } from "./reply-waiters.ts";
import { RequestRunner } from "./request-runner.ts";
import type { RunResult } from "./run-result.ts";
import { ShardDeparture } from "./shard-departure.ts";
import { StoredAdmission } from "./stored-admission.ts";

export interface EntityHostOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly counters: Counters;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  readonly maxIdleTimeMs: number;
  readonly mailboxCapacity: number;
  readonly concurrency: number;
  readonly terminationTimeoutMs: number;
  readonly pollIntervalMs: number;
  readonly maxRetries: number;
  /** Whether this runner's lease is held at this moment. */
  readonly leaseIsHeld: () => boolean;
  /** Whether it keeps off its shards because storage or leases are out of reach. */
  readonly isDetached: () => boolean;
  /** Storage refused a write for this shard. */
  readonly fenced: (shardId: ShardId) => void;
  readonly deadLettered: (request: { requestId: string; address: EntityAddress; tag: string }) => void;
  readonly observed: <Result>(call: () => Promise<Result>) => Promise<Result>;
}

export class EntityHost {
  readonly #options: EntityHostOptions;
  readonly #behaviors = new Map<string, EntityBehavior>();
  readonly #shards: HostedShards;
  readonly #activations: Activations;
  readonly #requests = new BriefMap<HostedRequest>();
  readonly #waiters = new ReplyWaiters();
  readonly #unserved = new Set<string>();
  readonly #admission: Admission;
  readonly #inbox: Inbox;
  readonly #eviction: Eviction;
  readonly #chunks: KeptChunks;
  readonly #runner: RequestRunner;
  readonly #puttingOff: PuttingOff;
  readonly #departure: ShardDeparture;
  #isClosing = false;

  constructor(options: EntityHostOptions) {
    this.#options = options;
    this.#shards = new HostedShards(options.leaseIsHeld);
    const activations = new Activations({
      ...options,
      shards: this.#shards,
      run: (request, activation) => this.#run(request, activation),
      activated: () => this.#eviction.watch(),
      wake: () => this.wake(),
    });
    this.#activations = activations;
    this.#runner = new RequestRunner({
      ...options,
      fenced: (shardId) => this.#fence(shardId),
      paying: ({ shardId, epoch }, paid) => {
        // It may have left, and be back under another epoch.
        const shard = this.#shards.get(shardId);
        if (shard?.fence.epoch === epoch) shard.staysUntil(paid);
      },
      tell: (request, message) =>
        request.envelope.persisted
          ? this.#waiters.tell(request.id, message)
          : request.caller?.answer(message),
    });
    this.#chunks = new KeptChunks(options.messages, options.logger);
    const admission: AdmissionOptions = {
      ...options,
      requests: this.#requests,
      waiters: this.#waiters,
      chunks: this.#chunks,
      behaviors: this.#behaviors,
      isClosing: () => this.#isClosing,
      arrival: (shardId) => this.#shards.arrival(shardId),
      admittingShard: ({ envelope, isNested }) =>
        isNested ? this.#shardForNested(envelope) : this.#shards.served(envelope.address.shardId),
      activations,
      newest: new NewestRequests(() => options.clock.now()),
      isBrief: (behavior, rpc) => this.#runner.isBrief(behavior, rpc),
      forget: (request, activation) => this.#forget(request, activation),
      fenced: (shardId) => this.#fence(shardId),
      wake: (shardId) => void this.#inbox.wake(shardId),
      read: (shardId) => this.#inbox.read(shardId),
      noteDue: (at) => this.#inbox.noteDue(at),
    };
    this.#admission = new Admission(admission);
    const stored = new StoredAdmission({
      ...admission,
      servedShard: (shardId) => this.#shards.served(shardId),
      unserved: (what) => this.#noteUnserved(what),
    });
    this.#inbox = new Inbox({
      ...options,
      beginAll: () => this.#shards.beginAll(options.clock.monotonic()),
      begin: (shardIds) => this.#shards.beginRead(shardIds),
      held: () => this.#shards.held(this.#requests),
      admit: (pending, withoutRoom) => stored.admit(pending, withoutRoom),
    });
    this.#puttingOff = new PuttingOff({
      ...options,
      requests: this.#requests,
      inbox: this.#inbox,
      fenced: (shardId) => this.#fence(shardId),
      forget: (request, activation) => this.#forget(request, activation),
    });
    this.#departure = new ShardDeparture({
      ...options,
      behaviors: this.#behaviors,
      shards: this.#shards,
      requests: this.#requests,
      waiters: this.#waiters,
      inbox: this.#inbox,
      settle: (request, message) => this.#settle(request, message),
      evict: (activation) => activations.evict(activation),
    });
    const idleTimeOf = (behavior: EntityBehavior | undefined): number =>
      behavior?.contract.maxIdleTimeMs ?? options.maxIdleTimeMs;
    this.#eviction = new Eviction({
      ...options,
      shards: () => this.#shards.values(),
      maxIdleTimeMs: (entityType) => idleTimeOf(this.#behaviors.get(entityType)),
      shortestIdleTimeMs: () =>
        Math.min(options.maxIdleTimeMs, ...[...this.#behaviors.values()].map(idleTimeOf)),
      evict: (activation) => activations.evict(activation),
    });
  }

  register(behavior: EntityBehavior): void {
    this.#behaviors.set(behavior.contract.name, behavior);
    this.#unserved.clear();
    this.#shards.forgetSkipped();
    this.wake();
  }

  get entityTypes(): readonly string[] {
    return [...this.#behaviors.keys()];
  }

  /** Entity types with stored requests that no code here handles: they wait for a runner that serves them. */
  get unservedTypes(): readonly string[] {
    return [...this.#unserved];
  }

  /** Whether requests for this shard are admitted here now. */
  serves(shardId: ShardId): boolean {
    return this.#shards.served(shardId) !== undefined;
  }

  /** Whether a request of a handler on its very shard is admitted here, although that is about to move. */
  takesNested(envelope: Envelope): boolean {
    return this.#shardForNested(envelope) !== undefined;
  }

  #shardForNested(envelope: Envelope): HostedShard | undefined {
    const { entityType, shardId } = envelope.address;
    // An execution leaves as soon as its shard is about to: it would begin in vain.
    return this.#behaviors.get(entityType)?.keepsNothing === true
      ? this.#shards.served(shardId)
      : this.#shards.servedForNested(envelope);
  }

  get activeEntities(): number {
    return this.#activations.size;
  }

  start(): void {
    this.#inbox.start();
  }

  /** Stops looking for work. Shards are drained or dropped one by one, by their owner. */
  stop(): void {
    this.#isClosing = true;
    this.#inbox.stop();
    this.#eviction.stop();
    this.#shards.unexpectAll();
  }

  /** There is work in storage. */
  wake(): void {
    void this.#inbox.wake();
  }

  // Shards ------------------------------------------------------------------------------------------------------------

  expect(shardIds: readonly ShardId[]): void {
    this.#shards.expect(shardIds);
  }

  unexpect(shardIds: readonly ShardId[]): void {
    this.#shards.unexpect(shardIds);
  }

  take(fence: Fence): void {
    this.#shards.add(fence, this.#options.clock.now());
    void this.#inbox.wake();
    this.#shards.unexpect([fence.shardId]);
  }

  /** Whether nothing runs or waits on the shard now. */
  isIdle(shardId: ShardId): boolean {
    const activations = this.#shards.get(shardId)?.activations.values() ?? [];
    return [...activations].every((activation) => activation.isIdle);
  }

  drain(shardId: ShardId): Promise<void> {
    return this.#departure.drain(shardId);
  }

  drop(shardIds: readonly ShardId[], reason: string): void {
    this.#departure.drop(shardIds, reason);
  }

  // Requests ----------------------------------------------------------------------------------------------------------

  /** Takes a request from a peer or from this process. `answer` is told what becomes of it, perhaps in this very turn. */
  receive(message: RequestMessage, peer: string, answer: Answer): void {
    this.#admission.receive(message, peer, answer);
  }

  /**
   * The caller left: aborts the handler, or takes a volatile request out of the queue. A persisted one that was accepted and
   * only waits runs all the same (INV-2), and one for whose reply others wait goes on until the last of them leaves.
   */
  interrupt(requestId: string, why: string): void {
    this.#admission.interrupt(requestId);
    const awaited = this.#waiters.leave(requestId);
    const request = this.#requests.get(awaited);
    if (request === undefined) return;
    const { envelope, isRunning, isUninterruptible } = request;
    // Who only joined leaves it to its sender, unless that has left it.
    if (awaited === requestId && isRunning) request.isGivenUp = true;
    if (this.#waiters.has(awaited)) return;
    if (isUninterruptible || (envelope.persisted && !(isRunning && request.isGivenUp)))
      return request.unread();
    request.end("interrupted", why);
    if (!isRunning) this.#leaveQueue(request);
  }

  acknowledge(requestId: string, upTo: number): void {
    const request = this.#requests.get(requestId);
    // Who joined under an id of its own reads the stream of another.
    const read = request ?? this.#requests.get(this.#waiters.awaitedBy(requestId) ?? "");
    read?.window?.acknowledge(upTo);
    if (request !== undefined ? request.envelope.persisted : true) void this.#chunks.forget(requestId, upTo);
  }

  /** Whether who asked under this id can count on an answer from here. */
  knows(requestId: string): boolean {
    // A persisted one that was read from storage runs here without anybody who waits: what its sender sent was lost.
    const isVolatile = this.#requests.get(requestId)?.envelope.persisted === false;
    return isVolatile || this.#admission.knows(requestId) || this.#waiters.isWaiting(requestId);
  }

  /** Whether a request is in memory here: it waits or runs, is being put off, or its reply is being recorded. */
  hosts(requestId: string): boolean {
    return this.#requests.has(requestId);
  }

  /** Has a request that was put off run now. @throws {FencedError} @throws {PersistenceError} */
  hasten(request: { readonly requestId: string; readonly attempts: number }, fence: Fence): Promise<void> {
    return this.#puttingOff.hasten(request, fence);
  }

  /** Executions on shards of this runner that wait for other code than it has. */
  get waitingForCode(): readonly string[] {
    const shards = [...this.#shards.values()];
    return [...this.#behaviors.values()].flatMap((behavior) =>
      shards.flatMap(({ fence }) => behavior.waiting?.(fence) ?? []),
    );
  }

  /** A peer is gone: volatile requests that only it waited for are interrupted. */
  forgetPeer(peer: string): void {
    for (const request of this.#requests.values()) {
      if (request.caller?.peer !== peer) continue;
      request.caller = null;
      this.interrupt(request.id, "its caller is gone");
    }
    for (const requestId of this.#waiters.forgetPeer(peer)) this.#requests.get(requestId)?.unread();
  }

  #run(request: HostedRequest, activation: Activation): void {
    const running = this.#runner.run(request, activation);
    if (running instanceof Promise) void running.then((result) => this.#endWith(result, request, activation));
    else this.#endWith(running, request, activation);
  }

  #endWith(result: RunResult, request: HostedRequest, activation: Activation): void {
    const puttingOff = this.#ran(request, activation, result);
    if (puttingOff === undefined) activation.end(request);
    else void puttingOff.then(() => activation.end(request));
  }

  /** A promise where the request is being put off: it runs until it is. */
  #ran(request: HostedRequest, activation: Activation, result: RunResult): Promise<void> | undefined {
    switch (result.type) {
      case "answered":
        this.#forget(request, activation);
        if (result.reply.exit.ok) this.#options.counters.succeeded += 1;
        else this.#options.counters.failed += 1;
        this.#settle(request, replyMessage(result.reply, request.chunkCount));
        return undefined;
      case "dead": {
        this.#forget(request, activation);
        this.#options.deadLettered({
          requestId: request.id,
          address: request.envelope.address,
          tag: request.envelope.tag,
        });
        const reason =
          result.error instanceof Error ? result.error.message : "something that is not an Error was thrown";
        this.#settle(request, {
          type: "reply",
          reply: deadReply(request.id, request.envelope, { attempts: result.attempts, reason }),
        });
        return undefined;
      }
      case "suspended":
        return this.#putOff(request, activation, result.suspension);
      case "unstored":
        // It may be, after all.
        this.#leaveToStorage(request, activation);
        this.#settle(request, {
          type: "rejected",
          requestId: request.id,
          code: "PERSISTENCE",
          detail: result.detail,
        });
        return undefined;
      case "fenced":
        this.#fence(activation.fence.shardId);
        return undefined;
      case "reopened":
        this.#leaveToStorage(request, activation);
        return undefined;
      case "forgotten":
        this.#forget(request, activation);
        this.#settle(request, absence(request.envelope));
        return undefined;
      case "moved":
        this.#forget(request, activation);
        // Who waits still for a volatile one: it was not begun, since the lease was over.
        if (!request.envelope.persisted) this.#settle(request, notHere(request.id, "its lease is over"));
        return undefined;
    }
  }

  async #putOff(request: HostedRequest, activation: Activation, suspension: Suspension): Promise<void> {
    await this.#puttingOff.putOff(request, activation, suspension);
    // Only now: who is told may ask again at once. Those who wait for a shard that moved meanwhile were told of that.
    if (suspension.failure !== null)
      this.#waiters.disappoint(request.id, failure(request.id, suspension.failure));
  }

  /** Tells all who wait for it, who wait no more. */
  #settle(request: HostedRequest, message: WireMessage): void {
    if (request.envelope.persisted) return this.#waiters.settle(request.id, message);
    const { caller } = request;
    request.caller = null;
    caller?.answer(message);
  }

  #forget(request: HostedRequest, activation: Activation): void {
    if (this.#requests.get(request.id) === request) this.#requests.delete(request.id);
    this.#inbox.settled(request.envelope);
    // It may have held up what came behind it while its acceptance was awaited (M3).
    if (activation.mailbox.remove(request)) this.#activations.madeRoom(activation);
    this.#activations.leaveIfDone(activation);
  }

  /** Only a read finds it again, and one that came before this passed it over. */
  #leaveToStorage(request: HostedRequest, activation: Activation): void {
    this.#forget(request, activation);
    this.#shards.get(activation.fence.shardId)?.markUnread();
    this.wake();
  }

  /** Nobody waits for a request that waits: another one has its room. */
  #leaveQueue(request: HostedRequest): void {
    const { address, tag } = request.envelope;
    const behavior = this.#behaviors.get(address.entityType);
    const shard = this.#shards.get(address.shardId);
    if (behavior === undefined || shard === undefined) return;
    const activation = this.#activations.resident(shard, behavior, address, tag);
    if (activation !== undefined) this.#forget(request, activation);
  }

  #noteUnserved(what: string): void {
    if (!this.#unserved.has(what))
      this.#options.logger.warn("A stored request waits for a runner that serves it", { what });
    this.#unserved.add(what);
  }

  #fence(shardId: ShardId): void {
    this.#options.counters.fenced += 1;
    this.#options.fenced(shardId);
  }
}
