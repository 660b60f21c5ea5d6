// StreamWait: the wait for the elements of a stream, which its reader takes one by one.
//
//   W1  Chunks come late, twice and out of order, and are taken in order, each once (entity/stream.ts). What is missing at two
//       looks in a row was lost: of a persisted stream it is asked for again, and the reading of another one fails.
//   W2  At each look it says how far it came: its last word may have been lost, and a producer that hears nothing takes it
//       for gone.
//   W3  What fails the wait ends its limits and its looks, too: what came before is given out first, however long its reader takes.

import type { Clock, Timer } from "../adapter/clock.ts";
import { answerOf } from "../contract/answers.ts";
import { decodePayload } from "../contract/payload.ts";
import type { ErrorClass } from "../contract/rpc.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Chunk, Reply } from "../data/reply.ts";
import type { Delivery } from "../entity/delivery.ts";
import type { DeliveryListener } from "../entity/outgoing.ts";
import { ChunkQueue } from "../entity/stream.ts";
import { InterruptedError, RunnerUnavailableError } from "../errors/routing.ts";
import { SerializationError } from "../errors/storage.ts";
import type { CallLimits } from "./call-limits.ts";
import { LimitedWait, type CallOrigin } from "./call-wait.ts";

export interface StreamWaitParts {
  readonly delivery: Pick<Delivery, "send" | "abandon" | "done" | "acknowledge" | "resume">;
  readonly clock: Clock;
}

const LOOK_MS = 2_000;

export class StreamWait extends LimitedWait implements DeliveryListener {
  readonly #parts: StreamWaitParts;
  readonly #errors: readonly ErrorClass[];
  readonly #queue: ChunkQueue;
  readonly #what: string;
  #timer: Timer | undefined;
  /** Whether another reader has taken what this one lacks. */
  #isTaken = false;

  /** @param errors classes that the rpc lists */
  constructor(
    parts: StreamWaitParts,
    envelope: Envelope,
    limits: CallLimits,
    origin: CallOrigin,
    errors: readonly ErrorClass[],
  ) {
    super(parts, envelope, limits, origin);
    this.#parts = parts;
    this.#errors = errors;
    this.#what = describeCall(envelope);
    this.#queue = new ChunkQueue((upTo) => {
      // Once a volatile stream has ended, nobody waits for that, and nothing is kept of it.
      if (envelope.persisted || !this.#queue.hasEnd) parts.delivery.acknowledge(envelope.requestId, upTo);
    });
  }

  /** Sends the request. Once this has returned, call `end` at last, whatever comes. */
  begin(): void {
    this.send(this);
    if (!this.isOver) this.#lookLater();
  }

  /** The next chunk; undefined at the end, and once its reader left. @throws what the stream, or the wait for it, ended with */
  take(): Promise<string | undefined> {
    return this.#queue.take();
  }

  /** Its reader leaves: what it waits for is the end. */
  leave(): void {
    this.#queue.leave();
  }

  /** @param isComplete whether its reader took all that there was */
  end(isComplete: boolean): void {
    const { delivery } = this.#parts;
    const { requestId } = this.envelope;
    this.#timer?.cancel();
    this.stop();
    if (isComplete) this.#queue.acknowledgeAgain();
    // What another one reads is not to be interrupted.
    if (this.#queue.hasEnd || this.#isTaken) delivery.done(requestId);
    else delivery.abandon(requestId);
  }

  accepted(): void {}

  chunk(chunk: Chunk, keptFrom: number): void {
    this.#queue.push(chunk);
    this.#checkKept(keptFrom);
  }

  reply({ exit }: Reply, keptFrom: number, chunkCount: number): void {
    try {
      if (exit.ok) this.#finish(decodePayload(exit.value, `The end of ${this.#what}`));
      else this.#queue.finish(chunkCount, answerOf(exit.error, this.#errors, this.#what));
    } catch (error) {
      // It is for who waits, who hears no more of it, and not for the transport that brought it.
      if (exit.ok) this.#queue.fail(error as SerializationError);
      else this.#queue.finish(chunkCount, error as SerializationError);
    }
    this.#checkKept(keptFrom);
  }

  protected override fail(error: Error): void {
    // Its reader may come for what is left much later, or never.
    this.#timer?.cancel();
    this.#queue.fail(error);
  }

  #finish(count: unknown): void {
    if (typeof count === "number" && Number.isInteger(count)) return this.#queue.finish(count);
    // Its runner took it for an rpc that replies once. Who waits for the elements would wait for ever.
    const what = `The end of ${this.#what}`;
    this.#queue.fail(new SerializationError({ what, path: "", problem: "no count of elements" }));
  }

  /** Only another reader can have taken what this one lacks: it says itself how far it came. */
  #checkKept(keptFrom: number): void {
    if (!this.#queue.lacksBelow(keptFrom)) return;
    this.#isTaken = true;
    const why =
      `another reader took its first ${keptFrom} elements, which are kept no longer: ` +
      `to read it from its beginning call it under another idempotencyKey`;
    this.#queue.fail(new InterruptedError({ what: `The reading of the stream ${this.#what}`, why }));
  }

  #lookLater(): void {
    this.#timer = this.#parts.clock.setTimer(LOOK_MS, () => {
      this.#look();
      if (!this.isOver) this.#lookLater();
    });
  }

  #look(): void {
    const { persisted, requestId } = this.envelope;
    if (this.#queue.hasGapStill()) {
      if (!persisted) return this.#queue.fail(this.#chunksLost());
      // From here on: of what is too much to come at once it gets the rest.
      this.#queue.acknowledgeAgain();
      this.#parts.delivery.resume(requestId);
    } else this.#queue.acknowledgeAgain();
  }

  #chunksLost(): RunnerUnavailableError {
    const what = `${this.#what} (chunks were lost)`;
    return new RunnerUnavailableError({ address: "its runner", what, mayHaveRun: true });
  }
}
