// Caller: makes an envelope of a call, and the outcome of its delivery into a value or an error. All clients stand on it.

import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage, RequestState } from "../adapter/message-storage.ts";
import type { Random } from "../adapter/random.ts";
import { sleep } from "../clock/sleep.ts";
import { Abort, type AbortWatch } from "../contract/abort.ts";
import { answerOf } from "../contract/answers.ts";
import { checkBoolean } from "../contract/boolean.ts";
import { copyOf } from "../contract/copy-of.ts";
import { rpcNamed, type EntityContract } from "../contract/entity-contract.ts";
import { checkKey, MAX_NAME_BYTES, takesAtMost } from "../contract/key.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import { decodePayload, encodeBoundedPayload } from "../contract/payload.ts";
import { primaryKeyOf, type AnyRpc } from "../contract/rpc.ts";
import { parse, parseWhat } from "../contract/schema.ts";
import type { Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import type { ShardId } from "../data/shard-id.ts";
import type { Delivery } from "../entity/delivery.ts";
import { retryDelayMs } from "../entity/outgoing.ts";
import { ChunkQueue } from "../entity/stream.ts";
import { ConfigError } from "../errors/config.ts";
import { PersistenceError, SerializationError } from "../errors/storage.ts";
import {
  ClusterClosedError,
  InterruptedError,
  ProtectedRpcError,
  RunnerUnavailableError,
} from "../errors/routing.ts";
import { AcceptanceWait, ReplyWait, StreamWait, type CallLimits } from "./call-wait.ts";
import { Elements } from "./elements.ts";
import { withinLimits } from "./within-limits.ts";

/** Options of one call. */
export interface CallOptions extends CallLimits {
  /** Persisted rpcs: calls of one entity, rpc and key are one request, which runs once and answers all. */
  readonly idempotencyKey?: string | undefined;
  /** Strings that travel with the request, on the handler's `ctx.headers`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Persisted rpcs: not handled before this time. */
  readonly deliverAt?: Date | undefined;
  /** The handler goes on although this caller left, timed out or aborted. Default: as the rpc says. */
  readonly uninterruptible?: boolean | undefined;
}

export interface CallTarget {
  readonly contract: Pick<EntityContract, "name" | "shardGroup" | "rpcs">;
  readonly entityId: string;
  /** The rpc's name. */
  readonly tag: string;
  /** Whether a handler, an activity or a workflow calls: it may call protected rpcs. */
  readonly fromInside: boolean;
  /** How it is delivered, if not as the rpc says: the untyped client decides by call. */
  readonly persisted?: boolean;
  /** Of a `notify` for what is known to exist: while no member serves its type it is stored, instead of failing. */
  readonly isKept?: boolean;
  /** The shard on which the handler runs that calls. */
  readonly fromShard?: ShardId;
  /** How much of the call's `timeout` was over before it was made, in whole milliseconds. */
  readonly passedMs?: number;
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
  /** Null: it is refused, once it is parsed. */
  readonly sent: Sent | null;
  readonly refusal: unknown;
}

const OPTION_NAMES: OptionNames<CallOptions> = {
  timeout: true,
  signal: true,
  uninterruptible: true,
  idempotencyKey: true,
  headers: true,
  deliverAt: true,
};
const MAX_HEADERS_BYTES = 16 * 1_024;
const NO_HEADERS: Envelope["headers"] = Object.freeze({});
const GAP_CHECK_MS = 2_000;

/** @throws {ConfigError} they are no object, or there is no such option */
export function checkCallOptions(options: unknown): void {
  checkOptionNames(options, OPTION_NAMES);
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
    const replied = new ReplyWait(this.#options, envelope, given, target).outcome();
    return this.#decode(replied instanceof Promise ? await replied : replied, rpc, target);
  }

  async notify(target: CallTarget, input: unknown, options: CallOptions = {}): Promise<void> {
    const rpc = rpcNamed(target.contract, target.tag);
    const given = this.#take(target, rpc, input, options);
    const envelope = this.#envelope(target, rpc, given, await given.parsed, "acceptance");
    await new AcceptanceWait(this.#options, envelope, given, target).outcome();
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
    const { delivery, clock } = this.#options;
    const { requestId } = envelope;
    const what = describe(target);
    const queue = new ChunkQueue((upTo) => {
      // Once a volatile stream has ended, nobody waits for that, and nothing is kept of it.
      if (envelope.persisted || !queue.hasEnd) delivery.acknowledge(requestId, upTo);
    });
    const wait = new StreamWait(this.#options, envelope, given, target, (error) => queue.fail(error));
    left.whenAborted(() => queue.leave());
    // Only another reader can have taken what this one lacks: it says itself how far it came.
    let isTaken = false;
    const checkKept = (keptFrom: number): void => {
      if (!queue.lacksBelow(keptFrom)) return;
      isTaken = true;
      const why =
        `another reader took its first ${keptFrom} elements, which are kept no longer: ` +
        `to read it from its beginning call it under another idempotencyKey`;
      queue.fail(new InterruptedError({ what: `The reading of the stream ${what}`, why }));
    };
    const finish = (count: unknown): void => {
      if (typeof count === "number" && Number.isInteger(count)) return queue.finish(count);
      // Its runner took it for an rpc that replies once. Who waits for the elements would wait for ever.
      queue.fail(
        new SerializationError({ what: `The end of ${what}`, path: "", problem: "no count of elements" }),
      );
    };
    wait.send({
      accepted: () => undefined,
      chunk(chunk, keptFrom) {
        queue.push(chunk);
        checkKept(keptFrom);
      },
      reply({ exit }, keptFrom, chunkCount) {
        if (exit.ok) finish(decodePayload(exit.value, `The end of ${what}`));
        else queue.finish(chunkCount, answerOf(exit.error, rpc?.errors ?? [], what));
        checkKept(keptFrom);
      },
      failed: (error) => queue.fail(error),
    });
    const watch = (): void => {
      if (queue.hasGapStill()) {
        if (envelope.persisted) {
          // From here on: of what is too much to come at once it gets the rest.
          queue.acknowledgeAgain();
          delivery.resume(requestId);
        } else
          queue.fail(
            new RunnerUnavailableError({
              address: "its runner",
              what: `${what} (chunks were lost)`,
              mayHaveRun: true,
            }),
          );
      } else queue.acknowledgeAgain();
      gapTimer = clock.setTimer(GAP_CHECK_MS, watch);
    };
    let gapTimer = clock.setTimer(GAP_CHECK_MS, watch);
    let isComplete = false;
    try {
      for (;;) {
        const chunk = await queue.take();
        if (chunk === undefined) break;
        yield await parseWhat(rpc?.output, decodePayload(chunk, `A chunk of ${what}`), `A chunk of ${what}`);
      }
      isComplete = !left.isAborted;
    } finally {
      gapTimer.cancel();
      wait.stop();
      if (isComplete) queue.acknowledgeAgain();
      // What another one reads is not to be interrupted.
      if (queue.hasEnd || isTaken) delivery.done(requestId);
      else delivery.abandon(requestId);
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

  /** Refuses a call that cannot be made. Returns its input, parsed; a promise where there is a schema. */
  #check(target: CallTarget, rpc: AnyRpc | undefined, input: unknown, options: CallOptions): unknown {
    this.#checkOpen(target);
    checkCallOptions(options);
    if (rpc?.visibility === "protected" && !target.fromInside) {
      throw new ProtectedRpcError({ entityType: target.contract.name, tag: target.tag });
    }
    checkKey(target.entityId, "entityId");
    checkTag(target.tag);
    // Its key is taken out of it once it is parsed, by when its caller may have changed it.
    const own = rpc?.primaryKey === undefined ? input : copyOf(input);
    return parse(rpc?.input, own, () => `${target.contract.name}.${target.tag}`);
  }

  /**
   * What a call was given, as it is in this very turn: while the input is parsed, its caller may change it for the next call.
   * Refuses one that cannot be made.
   */
  #take(target: CallTarget, rpc: AnyRpc | undefined, input: unknown, options: CallOptions): Given {
    const parsed = this.#check(target, rpc, input, options);
    const { timeout, signal } = options;
    try {
      return { parsed, timeout, signal, sent: this.#encode(target, rpc, input, options), refusal: null };
    } catch (refusal) {
      // What its schema says of the input is told first.
      return { parsed, timeout, signal, sent: null, refusal };
    }
  }

  /** @param input as the caller gave it: the runner parses it again, and a schema may transform */
  #encode(target: CallTarget, rpc: AnyRpc | undefined, input: unknown, options: CallOptions): Sent {
    const what = (): string => `The input of ${describe(target)}`;
    const persisted = target.persisted ?? rpc?.persisted ?? false;
    if (!persisted) forbidForVolatile(options);
    return {
      payload: encodeBoundedPayload(input, what, this.#options.maxPayloadBytes),
      headers: options.headers === undefined ? NO_HEADERS : checkHeaders(options.headers),
      persisted,
      givenKey: persisted ? givenKeyOf(options) : null,
      deliverAt: deliverAt(options),
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
  #decode(reply: Reply, rpc: AnyRpc | undefined, target: CallTarget): unknown {
    if (!reply.exit.ok) throw answerOf(reply.exit.error, rpc?.errors ?? [], describe(target));
    const what = (): string => `The reply of ${describe(target)}`;
    return parseWhat(rpc?.output, decodePayload(reply.exit.value, what), what);
  }
}

function describe(target: CallTarget): string {
  return `${target.contract.name}/${target.entityId}.${target.tag}`;
}

function checkTag(tag: unknown): void {
  if (typeof tag === "string" && tag !== "" && takesAtMost(tag, MAX_NAME_BYTES)) return;
  throw new ConfigError({
    option: "tag",
    got: tag,
    takes: `a string of 1 to ${MAX_NAME_BYTES} bytes in UTF-8`,
  });
}

/** Null: none is given. @throws {ConfigError} it is no key */
function givenKeyOf({ idempotencyKey }: CallOptions): string | null {
  // Null comes from plain JavaScript, where it is no key either.
  return idempotencyKey === undefined || idempotencyKey === null
    ? null
    : checkKey(idempotencyKey, "idempotencyKey");
}

function uninterruptibleOf(options: CallOptions): boolean | undefined {
  const { uninterruptible } = options;
  return uninterruptible === undefined ? undefined : checkBoolean(uninterruptible, "uninterruptible");
}

function forbidForVolatile(options: CallOptions): void {
  forbid("idempotencyKey", options.idempotencyKey);
  forbid("deliverAt", options.deliverAt);
}

function forbid(option: keyof CallOptions, got: unknown): void {
  if (got === undefined) return;
  throw new ConfigError({
    option,
    got,
    takes: "nothing here",
    hint: "The rpc is not persisted, so there is no record to compare with or to wait in. Define it with persisted: true.",
  });
}

function deliverAt(options: CallOptions): number | null {
  if (options.deliverAt === undefined) return null;
  const at = options.deliverAt instanceof Date ? options.deliverAt.getTime() : Number.NaN;
  if (Number.isNaN(at))
    throw new ConfigError({ option: "deliverAt", got: options.deliverAt, takes: "a valid Date" });
  // On the wire and in storage times are counts.
  return Math.max(0, at);
}

function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (typeof headers !== "object" || headers === null)
    throw new ConfigError({ option: "headers", got: headers, takes: "an object of strings" });
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== "string")
      throw new ConfigError({ option: `headers.${name}`, got: value, takes: "a string" });
    if (!name.isWellFormed() || !value.isWellFormed())
      throw new ConfigError({
        option: `headers.${name}`,
        got: value,
        takes: "a string, and a name, without half of a surrogate pair",
      });
    bytes += name.length + value.length;
  }
  if (bytes > MAX_HEADERS_BYTES) {
    throw new ConfigError({
      option: "headers",
      got: `${bytes} characters`,
      takes: `at most ${MAX_HEADERS_BYTES} characters in all`,
    });
  }
  return { ...headers };
}
