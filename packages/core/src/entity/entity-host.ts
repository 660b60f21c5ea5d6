// EntityHost: the owner's side of every request: admits it, queues it, answers it. One on each runner.
//
// Stands between transport or local callers (`receive`), the shards (`take`, `drain`, `drop`), storage's pending work
// (inbox.ts) and the activations. Routes nothing.
//
//   H1  A request is admitted only while its shard is served and the lease is held at that very moment.
//   H2  A persisted request goes straight to its mailbox only if everything accepted before it for that entity is in
//       memory; else it is only stored, and read back in order (INV-4).
//   H3  A request is in memory at most once, whoever sends it, however often.
//   H4  Everyone who waits for a request that leaves memory is told: its reply, or that it must be asked for elsewhere.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState, SaveRequestResult } from "../adapter/message-storage.ts";
import { within } from "../clock/within.ts";
import { decodePayload } from "../contract/payload.ts";
import type { Logger } from "../contract/logger.ts";
import { parse } from "../contract/schema.ts";
import { entityKey, type EntityAddress } from "../data/entity-address.ts";
import type { Envelope, PendingRequest } from "../data/envelope.ts";
import type { Fence } from "../data/epoch.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { RejectionCode } from "../data/wire-message.ts";
import { FencedError, PersistenceError } from "../errors/storage.ts";
import { Activation } from "./activation.ts";
import { deadReply, describeInvalidInput, movedReply, readdress } from "./answers.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import { Eviction } from "./eviction.ts";
import { HostedRequest } from "./hosted-request.ts";
import { HostedShard } from "./hosted-shard.ts";
import { Inbox, type Sweep } from "./inbox.ts";
import { KeptChunks } from "./kept-chunks.ts";
import { Parking } from "./parking.ts";
import { RecentIds } from "./recent-ids.ts";
import { ReplyWaiters, type Answer } from "./reply-waiters.ts";
import { RequestRunner } from "./request-runner.ts";

export interface EntityHostOptions {
  readonly messages: MessageStorage;
  readonly clock: Clock;
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

/** A request between its coming and its admission. */
interface Arrival {
  readonly envelope: Envelope;
  /** Its caller left meanwhile. */
  hasLeft: boolean;
}

/** How long a shard that drained waits for storage to put its counts of attempts right. */
const LONGEST_CORRECTION_MS = 2_000;

/** When an execution is put off without a time, something else wakes it. */
const FAR_FUTURE_MS = 8.64e15;

export class EntityHost {
  readonly #options: EntityHostOptions;
  readonly #behaviors = new Map<string, EntityBehavior>();
  readonly #shards = new Map<ShardId, HostedShard>();
  readonly #parking = new Parking();
  readonly #requests = new Map<string, HostedRequest>();
  /** Requests that came and are not admitted or refused yet: their shard is expected, or they are being parsed. */
  readonly #arriving = new Map<string, Arrival>();
  readonly #waiters = new ReplyWaiters();
  /** Volatile requests seen lately, so that a message that comes twice runs once. */
  readonly #recent = new RecentIds();
  readonly #unserved = new Set<string>();
  readonly #inbox: Inbox;
  readonly #eviction: Eviction;
  readonly #chunks: KeptChunks;
  readonly #runner: RequestRunner;
  #isClosing = false;

  constructor(options: EntityHostOptions) {
    this.#options = options;
    this.#runner = new RequestRunner({
      ...options,
      tell: (requestId, message) => this.#waiters.tell(requestId, message),
    });
    this.#inbox = new Inbox({
      ...options,
      begin: () => this.#beginRead(),
      held: () => this.#held(),
      admit: (pending) => this.#admitStored(pending),
    });
    const idleTimeOf = (behavior: EntityBehavior | undefined): number =>
      behavior?.contract.maxIdleTimeMs ?? options.maxIdleTimeMs;
    this.#eviction = new Eviction({
      clock: options.clock,
      shards: () => this.#shards.values(),
      maxIdleTimeMs: (entityType) => idleTimeOf(this.#behaviors.get(entityType)),
      shortestIdleTimeMs: () =>
        Math.min(options.maxIdleTimeMs, ...[...this.#behaviors.values()].map(idleTimeOf)),
      evict: (activation) => this.#evict(activation),
    });
    this.#chunks = new KeptChunks(options.messages, options.logger);
  }

  register(behavior: EntityBehavior): void {
    this.#behaviors.set(behavior.contract.name, behavior);
    this.#unserved.clear();
    for (const shard of this.#shards.values()) shard.forgetSkipped();
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
    return this.#servedShard(shardId) !== undefined;
  }

  get activeEntities(): number {
    let count = 0;
    for (const shard of this.#shards.values()) count += shard.activations.size;
    return count;
  }

  start(): void {
    this.#inbox.start();
    this.#eviction.start();
  }

  /** Stops looking for work. Shards are drained or dropped one by one, by their owner. */
  stop(): void {
    this.#isClosing = true;
    this.#inbox.stop();
    this.#eviction.stop();
    this.#parking.closeAll();
  }

  /** There is work in storage. */
  wake(): void {
    void this.#inbox.wake();
  }

  // Shards ------------------------------------------------------------------------------------------------------------

  expect(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) if (!this.#shards.has(shardId)) this.#parking.open(shardId);
  }

  unexpect(shardIds: readonly ShardId[]): void {
    for (const shardId of shardIds) this.#parking.close(shardId);
  }

  take(fence: Fence): void {
    this.#shards.set(fence.shardId, new HostedShard(fence));
    void this.#inbox.wake();
    this.#parking.close(fence.shardId);
  }

  /** Whether nothing runs or waits on the shard now. */
  isIdle(shardId: ShardId): boolean {
    const activations = this.#shards.get(shardId)?.activations.values() ?? [];
    return [...activations].every((activation) => activation.isIdle);
  }

  async drain(shardId: ShardId): Promise<void> {
    const shard = this.#shards.get(shardId);
    if (shard === undefined) return;
    shard.isServing = false;
    for (const activation of shard.activations.values()) {
      for (const request of activation.close()) this.#release(request, "its shard moves to another runner");
    }
    const running = [...shard.activations.values()].flatMap((activation) => [...activation.running]);
    shard.leaving.abort(new Error("the shard moves to another runner"));
    if (running.length > 0) await this.#letEnd(shard, running);
    if (this.#shards.get(shardId) !== shard) return;
    const evicted = Promise.all([...shard.activations.values()].map((activation) => this.#evict(activation)));
    if (!(await within(this.#options.clock, evicted, this.#options.terminationTimeoutMs))) {
      this.#options.logger.warn("A shard moves although onEvict callbacks are still at work", { shardId });
    }
    if (this.#shards.get(shardId) !== shard) return;
    this.#shards.delete(shardId);
    this.#releaseWaiters([shardId], "its shard moves to another runner");
  }

  drop(shardIds: readonly ShardId[], reason: string): void {
    const shards = shardIds.flatMap((shardId) => this.#shards.get(shardId) ?? []);
    // All stop before any is cleaned up.
    for (const shard of shards) shard.isServing = false;
    for (const shard of shards) {
      this.#shards.delete(shard.fence.shardId);
      shard.leaving.abort(new Error(reason));
      for (const activation of shard.activations.values()) {
        for (const request of activation.close()) this.#release(request, reason);
        for (const request of activation.running) {
          request.end("moved", reason);
          this.#release(request, reason);
        }
        void this.#evict(activation);
      }
    }
    this.#releaseWaiters(shardIds, reason);
  }

  // Requests ----------------------------------------------------------------------------------------------------------

  /** Takes a request from a peer or from this process. `answer` is told what becomes of it. Never rejects. */
  async receive(envelope: Envelope, peer: string, answer: Answer): Promise<void> {
    const arrival: Arrival = { envelope, hasLeft: false };
    this.#arriving.set(envelope.requestId, arrival);
    try {
      await this.#admit(arrival, peer, answer);
    } finally {
      if (this.#arriving.get(envelope.requestId) === arrival) this.#arriving.delete(envelope.requestId);
    }
  }

  async #admit(arrival: Arrival, peer: string, answer: Answer): Promise<void> {
    const { envelope } = arrival;
    const reject = (code: RejectionCode, detail: string): void => {
      answer({ type: "rejected", requestId: envelope.requestId, code, detail });
    };
    const { shardId } = envelope.address;
    if (!this.#shards.has(shardId) && this.#parking.isOpen(shardId)) await this.#parking.wait(shardId);
    const shard = this.#servedShard(shardId);
    if (shard === undefined) {
      // Detached, it will not have the shard soon: its senders are to try elsewhere, or to give up.
      if (this.#options.isDetached()) return reject("PERSISTENCE", "storage or leases are out of its reach");
      return reject(this.#isClosing ? "CLOSING" : "NOT_ASSIGNED", "this runner does not own the shard");
    }
    const behavior = this.#behaviors.get(envelope.address.entityType);
    if (behavior === undefined) return reject("UNKNOWN_ENTITY", this.entityTypes.join("\n"));
    const rpc = Object.hasOwn(behavior.contract.rpcs, envelope.tag)
      ? behavior.contract.rpcs[envelope.tag]
      : undefined;
    if (rpc === undefined) return reject("UNKNOWN_RPC", Object.keys(behavior.contract.rpcs).join("\n"));
    if (rpc.visibility === "protected" && !envelope.fromInside) return reject("PROTECTED_RPC", "");
    let request: HostedRequest;
    try {
      const what = `${envelope.address.entityType}.${envelope.tag}`;
      const input = await parse(rpc.input, decodePayload(envelope.payload, `The input of ${what}`), what);
      request = new HostedRequest(
        { envelope, rpc, input },
        { attempts: 0, attemptIsRecorded: false, isAccepted: !envelope.persisted },
      );
    } catch (error) {
      return reject("INVALID_INPUT", describeInvalidInput(error));
    }
    if (arrival.hasLeft) return;
    // Parsing may have awaited: ownership is asked again before anything is admitted (H1).
    if (this.#servedShard(shardId) !== shard) return reject("NOT_ASSIGNED", "the shard moved");
    if (envelope.persisted) await this.#receivePersisted(request, shard, behavior, peer, answer, reject);
    else this.#receiveVolatile(request, shard, behavior, peer, answer, reject);
  }

  /** The caller left: aborts the handler, or takes the request out of the queue. */
  interrupt(requestId: string, why: string): void {
    const arrival = this.#arriving.get(requestId);
    if (arrival !== undefined && !arrival.envelope.uninterruptible) arrival.hasLeft = true;
    const request = this.#requests.get(requestId);
    if (request === undefined || request.envelope.uninterruptible || request.rpc.uninterruptible) return;
    request.end("interrupted", why);
  }

  acknowledge(requestId: string, upTo: number): void {
    const request = this.#requests.get(requestId);
    request?.window?.acknowledge(upTo);
    if (request !== undefined ? request.envelope.persisted : true) void this.#chunks.forget(requestId, upTo);
  }

  knows(requestId: string): boolean {
    return this.#requests.has(requestId) || this.#arriving.has(requestId) || this.#waiters.has(requestId);
  }

  /** A peer is gone: volatile requests that only it waited for are interrupted. */
  forgetPeer(peer: string): void {
    for (const requestId of this.#waiters.forgetPeer(peer)) {
      const request = this.#requests.get(requestId);
      if (request?.envelope.persisted === false) this.interrupt(requestId, "its caller is gone");
      request?.window?.close();
    }
  }

  #receiveVolatile(
    request: HostedRequest,
    shard: HostedShard,
    behavior: EntityBehavior,
    peer: string,
    answer: Answer,
    reject: (code: RejectionCode, detail: string) => void,
  ): void {
    if (!this.#recent.add(request.id)) return;
    const activation = this.#activation(shard, behavior, request.envelope.address);
    if (activation.isFull) return this.#refuseFull(activation, reject);
    this.#options.counters.accepted += 1;
    this.#requests.set(request.id, request);
    if (request.envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
    else this.#waiters.add(request.id, { peer, requestId: request.id, shardId: shard.fence.shardId }, answer);
    activation.mailbox.push(request);
    activation.pump();
  }

  async #receivePersisted(
    request: HostedRequest,
    shard: HostedShard,
    behavior: EntityBehavior,
    peer: string,
    answer: Answer,
    reject: (code: RejectionCode, detail: string) => void,
  ): Promise<void> {
    const { envelope } = request;
    if (envelope.readPendingFirst) {
      // If the read fails, the shard stays unread, and the request is only stored (H2).
      shard.markUnread();
      await this.#inbox.wake();
      if (this.#servedShard(envelope.address.shardId) !== shard)
        return reject("NOT_ASSIGNED", "the shard moved");
    }
    const known = this.#requests.get(request.id);
    if (known?.isAccepted === true) return this.#join(known.envelope, request.id, peer, answer);
    const activation = this.#activation(shard, behavior, envelope.address);
    if (activation.isBacklogged || activation.isFull) {
      return this.#refuseFull(activation, reject);
    }
    const isLater = envelope.deliverAt !== null && envelope.deliverAt > this.#options.clock.now();
    const goesStraight = known === undefined && !isLater && !shard.isUnread;
    if (goesStraight) {
      // Its place in the mailbox is taken now and its acceptance awaited after, so that nothing overtakes it (M3).
      request.attemptIsRecorded = activation.startsAtOnce;
      request.attempts = request.attemptIsRecorded ? 1 : 0;
      this.#requests.set(request.id, request);
      activation.mailbox.push(request);
    }
    const asking = { peer, requestId: request.id, shardId: shard.fence.shardId };
    if (envelope.expects !== "acceptance") this.#waiters.add(request.id, asking, answer);
    try {
      const save = (): Promise<SaveRequestResult> =>
        this.#options.messages.saveRequest(envelope, request.attempts, activation.fence);
      const saved = goesStraight || isLater ? await save() : await shard.store(save);
      if (saved.outcome === "duplicate") {
        if (goesStraight) this.#withdraw(request, activation, shard);
        this.#waiters.remove(request.id, asking);
        if (this.#servedShard(envelope.address.shardId) !== shard)
          return reject("NOT_ASSIGNED", "the shard moved");
        return await this.#answerDuplicate(envelope, shard, saved.existing, peer, answer);
      }
      this.#options.counters.accepted += 1;
      if (envelope.expects === "acceptance") answer({ type: "accepted", requestId: request.id });
      if (isLater && envelope.deliverAt !== null) return this.#inbox.noteDue(envelope.deliverAt);
      if (!goesStraight) return void this.#inbox.wake();
      request.sequence = saved.sequence;
      request.isAccepted = true;
      // Put back meanwhile, with what was in front of it: it is read in its turn.
      if (this.#requests.get(request.id) !== request) {
        shard.markUnread();
        return void this.#inbox.wake();
      }
      // While it was stored the shard may have been drained: then the mailbox was emptied, and it waits in storage.
      activation.pump();
    } catch (error) {
      if (goesStraight) this.#withdraw(request, activation, shard);
      this.#waiters.remove(request.id, asking);
      if (error instanceof FencedError) {
        this.#fence(shard.fence.shardId);
        return reject("NOT_ASSIGNED", "the shard was claimed by another runner");
      }
      // Its outcome may be unknown: it may wait in storage now, where only a read finds it.
      shard.markUnread();
      void this.#inbox.wake();
      reject("PERSISTENCE", error instanceof PersistenceError ? error.detail : "the storage failed");
    }
  }

  #refuseFull(activation: Activation, reject: (code: RejectionCode, detail: string) => void): void {
    this.#options.counters.mailboxFull += 1;
    reject("MAILBOX_FULL", String(activation.mailbox.capacity));
  }

  async #answerDuplicate(
    envelope: Envelope,
    shard: HostedShard,
    existing: RequestState,
    peer: string,
    answer: Answer,
  ): Promise<void> {
    this.#options.counters.duplicates += 1;
    const isDue =
      existing.state === "pending" &&
      (existing.deliverAt === null || existing.deliverAt <= this.#options.clock.now());
    if (isDue && !this.#requests.has(existing.requestId)) {
      // Its sender believes it accepted, and what it sends next must not overtake it (H2).
      shard.markUnread();
      void this.#inbox.wake();
    }
    if (envelope.expects === "acceptance") return answer({ type: "accepted", requestId: envelope.requestId });
    // Whoever asked under another id is answered under its own.
    const toSender: Answer = (message) => answer(readdress(message, envelope.requestId));
    if (existing.state !== "pending") return this.#answerFrom(existing, envelope, toSender);
    await this.#join(envelope, existing.requestId, peer, toSender);
    if (this.#requests.has(existing.requestId)) return;
    void this.#inbox.wake();
    // It may have ended since storage said that it is pending, before anybody waited.
    const [state] = await this.#options.messages.lookUp([existing.requestId]);
    if (state === undefined || state.state === "pending") return;
    this.#waiters.remove(existing.requestId, {
      peer,
      requestId: envelope.requestId,
      shardId: envelope.address.shardId,
    });
    await this.#answerFrom(state, envelope, toSender);
  }

  /** Lets a peer wait for a request that is under way; of a stream it gets what is kept of it first. */
  async #join(envelope: Envelope, requestId: string, peer: string, answer: Answer): Promise<void> {
    if (envelope.expects === "acceptance") return answer({ type: "accepted", requestId: envelope.requestId });
    this.#waiters.add(
      requestId,
      { peer, requestId: envelope.requestId, shardId: envelope.address.shardId },
      answer,
    );
    if (envelope.expects === "stream") await this.#chunks.send(requestId, answer);
  }

  async #answerFrom(
    state: Exclude<RequestState, { state: "pending" }>,
    envelope: Envelope,
    answer: Answer,
  ): Promise<void> {
    if (envelope.expects === "stream") await this.#chunks.send(state.requestId, answer);
    const reply =
      state.state === "answered"
        ? state.reply
        : deadReply(state.requestId, envelope, {
            attempts: state.deadLetter.attempts,
            reason: state.deadLetter.error.message,
          });
    answer({ type: "reply", reply });
  }

  /** Takes a request that storage handed back, unless it is here, or has no room: then it is read again later. */
  async #admitStored(pending: PendingRequest): Promise<void> {
    const { envelope } = pending;
    const shard = this.#servedShard(envelope.address.shardId);
    const isTaken = (): boolean =>
      this.#requests.has(envelope.requestId) || shard?.isHeldBack(envelope.address) === true;
    if (shard === undefined || isTaken()) return;
    const behavior = this.#behaviors.get(envelope.address.entityType);
    const rpc = behavior?.contract.rpcs[envelope.tag];
    if (behavior === undefined || rpc === undefined) {
      const what =
        behavior === undefined
          ? envelope.address.entityType
          : `${envelope.address.entityType}.${envelope.tag}`;
      if (!this.#unserved.has(what))
        this.#options.logger.warn("A stored request waits for a runner that serves it", { what });
      this.#unserved.add(what);
      shard.skip(envelope.address);
      return;
    }
    let input: unknown;
    let inputError: unknown = null;
    try {
      input = await parse(
        rpc.input,
        decodePayload(envelope.payload, "A stored input"),
        `${envelope.address.entityType}.${envelope.tag}`,
      );
    } catch (error) {
      // The schema changed since it was accepted: that becomes its reply.
      inputError = error;
    }
    if (this.#servedShard(envelope.address.shardId) !== shard || isTaken()) return;
    const activation = this.#activation(shard, behavior, envelope.address);
    if (activation.isFull) {
      activation.isBacklogged = true;
      return;
    }
    const request = new HostedRequest(
      { envelope, rpc, input },
      { attempts: pending.attempts, attemptIsRecorded: false, isAccepted: true },
    );
    request.inputError = inputError;
    request.sequence = pending.sequence;
    this.#options.counters.accepted += 1;
    this.#requests.set(request.id, request);
    activation.mailbox.push(request);
    activation.pump();
  }

  async #run(request: HostedRequest, activation: Activation): Promise<void> {
    const result = await this.#runner.run(request, activation);
    switch (result.type) {
      case "answered":
        this.#forget(request, activation);
        if (result.reply.exit.ok) this.#options.counters.succeeded += 1;
        else this.#options.counters.failed += 1;
        return this.#waiters.settle(request.id, { type: "reply", reply: result.reply });
      case "dead": {
        this.#forget(request, activation);
        this.#options.deadLettered({
          requestId: request.id,
          address: request.envelope.address,
          tag: request.envelope.tag,
        });
        const reason =
          result.error instanceof Error ? result.error.message : "something that is not an Error was thrown";
        return this.#waiters.settle(request.id, {
          type: "reply",
          reply: deadReply(request.id, request.envelope, { attempts: result.attempts, reason }),
        });
      }
      case "suspended":
        return this.#suspend(request, activation, result.until);
      case "fenced":
        return this.#fence(activation.fence.shardId);
      case "moved":
        return this.#forget(request, activation);
    }
  }

  async #suspend(request: HostedRequest, activation: Activation, until: number | null): Promise<void> {
    const deliverAt = until ?? FAR_FUTURE_MS;
    try {
      await this.#options.messages.reschedule(request.id, { deliverAt, attempts: 0 }, activation.fence);
      this.#options.counters.suspended += 1;
    } catch (error) {
      if (error instanceof FencedError) return this.#fence(activation.fence.shardId);
      // It stays pending with its old due time, so it is read again and finds out anew that it has to wait.
      this.#options.logger.warn("A request could not be put off", {
        requestId: request.id,
        error: String(error),
      });
    }
    this.#forget(request, activation);
    this.#inbox.noteDue(deliverAt);
  }

  /** A running request was told to end; waits until it has, then aborts it, then leaves it behind. */
  async #letEnd(shard: HostedShard, running: readonly HostedRequest[]): Promise<void> {
    const { clock, terminationTimeoutMs } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(terminationTimeoutMs, resolve);
      shard.whenQuiet(() => {
        timer.cancel();
        resolve();
      });
    });
    const left = running.filter((request) => this.#requests.get(request.id) === request);
    for (const request of left) {
      request.end("moved", "the shard moves to another runner");
      this.#release(request, "its shard moves to another runner");
    }
    // That it was cut short here is no failed attempt.
    const corrected = left
      .filter((request) => request.envelope.persisted && request.attempts > 0)
      .map(async (request) => {
        const schedule = { deliverAt: null, attempts: request.attempts - 1 };
        await this.#options.messages.reschedule(request.id, schedule, shard.fence);
      });
    await within(clock, Promise.allSettled(corrected), LONGEST_CORRECTION_MS);
  }

  /** A request leaves memory unanswered (H4): those who wait ask elsewhere, or learn that it may have run in part. */
  #release(request: HostedRequest, reason: string): void {
    this.#requests.delete(request.id);
    this.#inbox.settled(request.id);
    if (request.envelope.persisted || !request.isRunning) {
      this.#waiters.settle(request.id, {
        type: "rejected",
        requestId: request.id,
        code: "NOT_ASSIGNED",
        detail: reason,
      });
      return;
    }
    this.#waiters.settle(request.id, { type: "reply", reply: movedReply(request.envelope, reason) });
  }

  /** Who waits for what is with storage, suspended or due later, asks the shard's next owner. */
  #releaseWaiters(shardIds: readonly ShardId[], reason: string): void {
    this.#waiters.settleShards(new Set(shardIds), (requestId) => ({
      type: "rejected",
      requestId,
      code: "NOT_ASSIGNED",
      detail: reason,
    }));
  }

  #forget(request: HostedRequest, activation: Activation): void {
    if (this.#requests.get(request.id) === request) this.#requests.delete(request.id);
    this.#inbox.settled(request.id);
    // It may have held up what came behind it while its acceptance was awaited (M3).
    if (activation.mailbox.remove(request)) activation.pump();
  }

  /**
   * A request that went straight to its mailbox has no right to its place: storage may have it from before, where what
   * came behind it here was accepted after it. So that is put back, too, and all of it is read again in order (H2).
   */
  #withdraw(request: HostedRequest, activation: Activation, shard: HostedShard): void {
    const behind = activation.mailbox.emptyAfter(request);
    for (const other of behind) {
      if (!other.envelope.persisted) activation.mailbox.push(other);
      else if (this.#requests.get(other.id) === other) this.#requests.delete(other.id);
    }
    shard.holdBack(activation.address);
    this.#forget(request, activation);
    if (behind.length > 0) void this.#inbox.wake();
  }

  #fence(shardId: ShardId): void {
    this.#options.counters.fenced += 1;
    this.#options.fenced(shardId);
  }

  #servedShard(shardId: ShardId): HostedShard | undefined {
    const shard = this.#shards.get(shardId);
    return shard?.isServing === true && this.#options.leaseIsHeld() ? shard : undefined;
  }

  #beginRead(): Sweep {
    const shards = new Set([...this.#shards.values()].filter((shard) => shard.isServing));
    const marks = [...shards].map((shard) => shard.beginRead());
    return {
      shardIds: [...shards].map((shard) => shard.fence.shardId),
      covers: (shardId) => {
        const shard = this.#servedShard(shardId);
        return shard !== undefined && shards.has(shard);
      },
      caughtUp: () => {
        for (const mark of marks) mark();
      },
    };
  }

  #held(): { readonly sequences: readonly number[]; readonly full: readonly EntityAddress[] } {
    const sequences: number[] = [];
    for (const request of this.#requests.values())
      if (request.sequence !== null) sequences.push(request.sequence);
    const full: EntityAddress[] = [];
    for (const shard of this.#shards.values()) full.push(...shard.unready());
    return { sequences, full };
  }

  #activation(shard: HostedShard, behavior: EntityBehavior, address: EntityAddress): Activation {
    const key = entityKey(address);
    const existing = shard.activations.get(key);
    if (existing !== undefined) return existing;
    const { contract } = behavior;
    const activation = new Activation({
      address,
      behavior,
      fence: shard.fence,
      mailboxCapacity: contract.mailboxCapacity ?? this.#options.mailboxCapacity,
      concurrency: contract.concurrency ?? this.#options.concurrency,
      leaving: shard.leaving.signal,
      run: (request, self) => this.#run(request, self),
      ended: (self) => this.#ended(shard, self),
    });
    this.#options.counters.activations += 1;
    shard.activations.set(key, activation);
    return activation;
  }

  #ended(shard: HostedShard, activation: Activation): void {
    shard.touch(activation, this.#options.clock.monotonic());
    shard.checkQuiet();
    if (activation.isBacklogged && activation.mailbox.size * 2 <= activation.mailbox.capacity) {
      activation.isBacklogged = false;
      shard.markUnread();
      this.wake();
    }
  }

  async #evict(activation: Activation): Promise<void> {
    this.#options.counters.evictions += 1;
    await activation.evict((error) => {
      this.#options.logger.error("An onEvict callback failed", {
        entity: entityKey(activation.address),
        error: String(error),
      });
    });
  }
}
