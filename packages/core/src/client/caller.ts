// Caller: makes an envelope of a call, and the outcome of its delivery into a value or an error. All clients stand on it.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import { sleep } from "../clock/sleep.ts";
import { Abort, type AbortWatch } from "../contract/abort.ts";
import { answerOf } from "../contract/answers.ts";
import { copyOf } from "../contract/copy-of.ts";
import { rpcNamed, type EntityContract } from "../contract/entity-contract.ts";
import { checkKey, MAX_NAME_BYTES, takesAtMost } from "../contract/key.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { primaryKeyOf, type AnyRpc } from "../contract/rpc.ts";
import { parse } from "../contract/schema.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Delivery } from "../entity/delivery.ts";
import { retryDelayMs } from "../entity/outgoing.ts";
import { ConfigError } from "../errors/config.ts";
import { PersistenceError } from "../errors/storage.ts";
import { ClusterClosedError, ProtectedRpcError } from "../errors/routing.ts";
import { withinLimits, type CallLimits } from "./call-limits.ts";
import {
  checkCallOptions,
  deliverAtOf,
  forbidForVolatile,
  givenKeyOf,
  headersOf,
  uninterruptibleOf,
  type CallOptions,
} from "./call-options.ts";
import { AcceptanceWait, ReplyWait, type CallOrigin } from "./call-wait.ts";
import { Elements } from "./elements.ts";
import { AS_LONG_AS_IT_TAKES, SchemaWait } from "./schema-wait.ts";
import { StreamWait } from "./stream-wait.ts";

/** What is called, and by whom. */
export interface CallTarget extends CallOrigin {
  readonly contract: Pick<EntityContract, "name" | "shardGroup" | "rpcs">;
  readonly entityId: string;
  /** The rpc's name. */
  readonly tag: string;
  /** Whether a handler, an activity or a workflow calls: it may call protected rpcs. */
  readonly fromInside: boolean;
  /** How it is delivered, if not as the rpc says: the untyped client decides by call. */
  readonly persisted?: boolean;
  /** Headers of the library's own that it goes with. */
  readonly marks?: Envelope["headers"];
}

/** Sends requests and hands back decoded, validated outcomes. */
export interface Caller {
  /** Resolves to the output. Rejects with the handler's error or a HoldfastError. */
  call(target: CallTarget, input: unknown, options?: CallOptions): Promise<unknown>;
  /** Resolves when the request is accepted: durable if it is persisted, else in the mailbox. */
  notify(target: CallTarget, input: unknown, options?: CallOptions): Promise<void>;
  /** Nothing is sent before the first element is asked for. Leaving the loop interrupts the handler. */
  stream(target: CallTarget, input: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
  /**
   * What storage knows of the persisted request with this key. Where it fails it is asked again, as often as a request is sent.
   *
   * @param limits of the call that waits for it
   */
  lookUpByKey(
    target: CallTarget,
    deduplicationKey: string,
    limits?: CallLimits,
  ): Promise<RequestState | null>;
}

export interface CallerOptions {
  readonly delivery: Delivery;
  readonly messages: MessageStorage;
  readonly clock: Clock;
  readonly random: Random;
  /** Tries of a look-up after the first. */
  readonly sendRetryCount: number;
  readonly maxPayloadBytes: number;
  readonly shardOf: (group: string, entityId: string) => ShardId;
  readonly sender: () => string;
  /** Why no call can be made now, or null. */
  readonly closed: (fromInside: boolean) => string | null;
}

/** What a call was given, but for what its key is taken out of. */
interface Sent extends Pick<Envelope, "payload" | "headers" | "persisted" | "deliverAt" | "uninterruptible"> {
  readonly givenKey: string | null;
}

/** A call as it was made. */
interface Given extends CallLimits {
  /** The input, or a promise of it. */
  readonly parsed: unknown;
  /** How long its schemas are waited for. Undefined: as long as they take. */
  readonly wait: SchemaWait | undefined;
  /** Null: it is refused, once it is parsed. */
  readonly sent: Sent | null;
  readonly refusal: unknown;
}

export class ClusterCaller implements Caller {
  readonly #options: CallerOptions;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  async call(target: CallTarget, input: unknown, options: CallOptions = {}): Promise<unknown> {
    const rpc = rpcNamed(target.contract, target.tag);
    const given = this.#take(target, rpc, input, options);
    // Awaited also where it is a value: calls go out in their order, and one made by a handler not on the handler's stack.
    const envelope = this.#envelope(target, rpc, given, await given.parsed, "reply");
    const replied = new ReplyWait(this.#options, envelope, given, originOf(target, given)).outcome();
    return this.#decode(replied instanceof Promise ? await replied : replied, rpc, target, given);
  }

  async notify(target: CallTarget, input: unknown, options: CallOptions = {}): Promise<void> {
    const rpc = rpcNamed(target.contract, target.tag);
    const given = this.#take(target, rpc, input, options);
    const envelope = this.#envelope(target, rpc, given, await given.parsed, "acceptance");
    await new AcceptanceWait(this.#options, envelope, given, originOf(target, given)).outcome();
  }

  /** What it was given counts as it is now, and is looked at when the first element is asked for. */
  stream(target: CallTarget, input: unknown, options: CallOptions = {}): AsyncIterableIterator<unknown> {
    const left = new Abort();
    const elements = this.#read(target, copyOf(input), copyOf(options), left);
    return new Elements(
      () => elements.next(),
      () => {
        left.abort(null);
        return elements.return(undefined);
      },
    );
  }

  async *#read(
    target: CallTarget,
    input: unknown,
    options: CallOptions,
    left: AbortWatch,
  ): AsyncGenerator<unknown, undefined, undefined> {
    const rpc = rpcNamed(target.contract, target.tag);
    const given = this.#take(target, rpc, input, options);
    // Who leaves does not wait for a schema that looks something up.
    const leaving = new Promise<void>((resolve) => left.whenAborted(() => resolve()));
    const parsed = await Promise.race([given.parsed, leaving]);
    if (left.isAborted) return undefined;
    const envelope = this.#envelope(target, rpc, given, parsed, "stream");
    const what = `A chunk of ${describe(target)}`;
    const wait = new StreamWait(this.#options, envelope, given, originOf(target, given), rpc?.errors ?? []);
    left.whenAborted(() => wait.leave());
    wait.begin();
    let isComplete = false;
    try {
      for (;;) {
        const chunk = await wait.take();
        if (chunk === undefined) break;
        yield await parse(rpc?.output, decodePayload(chunk, what), what, given.wait?.came());
      }
      isComplete = !left.isAborted;
    } finally {
      wait.end(isComplete);
    }
    return undefined;
  }

  async lookUpByKey(
    target: CallTarget,
    deduplicationKey: string,
    { timeout, signal }: CallLimits = {},
  ): Promise<RequestState | null> {
    const { clock, messages, sendRetryCount } = this.#options;
    const entity = { entityType: target.contract.name, entityId: target.entityId };
    return withinLimits(clock, describe(target), { timeout, signal }, async (left) => {
      for (let failures = 1; ; failures += 1) {
        this.#checkOpen(target);
        try {
          return await messages.lookUpByKey(entity, target.tag, deduplicationKey);
        } catch (error) {
          const isLast = failures > sendRetryCount || !(error instanceof PersistenceError);
          if (!isLast) await sleep(clock, retryDelayMs(failures), left);
          if (isLast || left.aborted) throw error;
        }
      }
    });
  }

  #checkOpen(target: CallTarget): void {
    const state = this.#options.closed(target.fromInside);
    if (state !== null) throw new ClusterClosedError({ what: describe(target), state });
  }

  /** Refuses a call that cannot be made. */
  #check(target: CallTarget, rpc: AnyRpc | undefined, options: CallOptions): void {
    this.#checkOpen(target);
    checkCallOptions(options);
    if (rpc?.visibility === "protected" && !target.fromInside) {
      throw new ProtectedRpcError({ entityType: target.contract.name, tag: target.tag });
    }
    checkKey(target.entityId, "entityId");
    checkTag(target.tag);
  }

  /** Undefined: it has no schema, or no limit. */
  #schemaWait(
    target: CallTarget,
    rpc: AnyRpc | undefined,
    { timeout, signal, idempotencyKey }: CallOptions,
  ): SchemaWait | undefined {
    if (rpc?.input === undefined && rpc?.output === undefined) return undefined;
    if (timeout === undefined && signal === undefined) return undefined;
    const { isRead = false, begunAt } = target;
    const isPersisted = target.persisted ?? rpc.persisted;
    const hasKey = isPersisted && ((idempotencyKey ?? null) !== null || rpc.primaryKey !== undefined);
    const call = { what: describe(target), timeout, signal, hasKey, isRead, begunAt };
    return new SchemaWait(this.#options.clock, call);
  }

  /**
   * What a call was given, as it is in this very turn: while the input is parsed, its caller may change it for the next call.
   * Refuses one that cannot be made.
   */
  #take(target: CallTarget, rpc: AnyRpc | undefined, input: unknown, options: CallOptions): Given {
    this.#check(target, rpc, options);
    const { timeout, signal } = options;
    const wait = this.#schemaWait(target, rpc, options);
    // Its key is taken out of it once it is parsed, by when its caller may have changed it.
    const own = rpc?.primaryKey === undefined ? input : copyOf(input);
    const what = (): string => `The input of ${target.contract.name}.${target.tag}`;
    const given = {
      parsed: parse(rpc?.input, own, what, wait ?? AS_LONG_AS_IT_TAKES),
      timeout,
      signal,
      wait,
    };
    try {
      return { ...given, sent: this.#encode(target, rpc, input, options), refusal: null };
    } catch (refusal) {
      // What its schema says of the input is told first.
      return { ...given, sent: null, refusal };
    }
  }

  /** @param input as the caller gave it: the runner parses it again, and a schema may transform */
  #encode(target: CallTarget, rpc: AnyRpc | undefined, input: unknown, options: CallOptions): Sent {
    const what = (): string => `The input of ${describe(target)}`;
    const persisted = target.persisted ?? rpc?.persisted ?? false;
    if (!persisted) forbidForVolatile(options);
    return {
      payload: encodeBoundedPayload(input, what, this.#options.maxPayloadBytes),
      headers: target.marks === undefined ? headersOf(options) : { ...headersOf(options), ...target.marks },
      persisted,
      givenKey: persisted ? givenKeyOf(options) : null,
      deliverAt: deliverAtOf(options),
      uninterruptible: uninterruptibleOf(options) ?? rpc?.uninterruptible ?? false,
    };
  }

  #envelope(
    target: CallTarget,
    rpc: AnyRpc | undefined,
    { sent, refusal }: Given,
    parsed: unknown,
    expects: Envelope["expects"],
  ): Envelope {
    const { contract, entityId } = target;
    if (sent === null) throw refusal;
    const { payload, headers, persisted, givenKey } = sent;
    return {
      requestId: this.#options.random.id(),
      address: {
        entityType: contract.name,
        entityId,
        shardId: this.#options.shardOf(contract.shardGroup, entityId),
      },
      tag: target.tag,
      payload,
      headers,
      persisted,
      expects,
      deduplicationKey: givenKey ?? (persisted ? primaryKeyOf(rpc, parsed) : null),
      deliverAt: sent.deliverAt,
      uninterruptible: sent.uninterruptible,
      fromInside: target.fromInside,
      sender: this.#options.sender(),
      readPendingFirst: false,
    };
  }

  /** The output, or a promise of it. @throws what the handler failed with */
  #decode(reply: Reply, rpc: AnyRpc | undefined, target: CallTarget, { wait }: Given): unknown {
    if (!reply.exit.ok) throw answerOf(reply.exit.error, rpc?.errors ?? [], describe(target));
    const what = (): string => `The reply of ${describe(target)}`;
    return parse(rpc?.output, decodePayload(reply.exit.value, what), what, wait?.sent());
  }
}

function describe(target: CallTarget): string {
  return `${target.contract.name}/${target.entityId}.${target.tag}`;
}

function originOf(target: CallTarget, { wait }: Given): CallOrigin {
  return wait === undefined ? target : wait.since(target);
}

function checkTag(tag: unknown): void {
  if (typeof tag === "string" && tag !== "" && takesAtMost(tag, MAX_NAME_BYTES)) return;
  throw new ConfigError({
    option: "tag",
    got: tag,
    takes: `a string of 1 to ${MAX_NAME_BYTES} bytes in UTF-8`,
  });
}
