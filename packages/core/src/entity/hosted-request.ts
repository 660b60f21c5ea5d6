import type { SaveRequestResult } from "../adapter/message-storage.ts";
import { Abort, type AbortWatch } from "../contract/abort.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import { describeCall, type Envelope } from "../data/envelope.ts";
import type { Reply } from "../data/reply.ts";
import { InterruptedError } from "../errors/routing.ts";
import type { Waiter } from "./reply-waiters.ts";
import { ChunkWindow } from "./stream.ts";

/** Why a request's signal was aborted: its caller left, or this runner may not go on with its shard. */
export type EndReason = "interrupted" | "moved";

/** A request in the memory of the owner of its shard: accepted or about to be, waiting or running. */
export class HostedRequest {
  readonly envelope: Envelope;
  readonly rpc: AnyRpc;
  /** The parsed input, which is the handler's to change: each attempt is given another one. */
  input: unknown;
  /** Attempts recorded as begun. */
  attempts: number;
  /** Whether the next attempt is among `attempts` already: recorded with the acceptance, or one before it did not count. */
  attemptIsRecorded: boolean;
  /** Whether the last of `attempts` has begun, and neither failed nor come to an outcome that is recorded. */
  isUnderWay = false;
  /** Null until storage has accepted it, and for volatile requests. */
  sequence: number | null = null;
  isAccepted: boolean;
  /** Of one whose acceptance records its first attempt: settles when storage has taken it or knows it from before, or the write failed. */
  accepting: Promise<SaveRequestResult> | null = null;
  /** Whether nothing but this acceptance can have counted an attempt of it. */
  isFirst = false;
  /** Whether a handler is at it. Not between two attempts, nor while one is recorded. */
  isRunning = false;
  /** Whether nobody who leaves interrupts it: its sender says so, its rpc, or somebody who joined it. */
  isUninterruptible: boolean;
  /** Its sender left while a handler was at it: the last one who waits for it interrupts that. */
  isGivenUp = false;
  /** Of one that runs ahead: resolves when it is stored, or will not be. Never rejects. */
  storing: Promise<unknown> | null = null;
  /** Of one that is ahead: its reply, to be stored with it. */
  ready: Reply | null = null;
  /** Writes what its reply followed from, where that is on its way to storage. */
  owed: (() => Promise<void>) | null = null;
  /** Whether storage has nothing of it but the request itself, and nothing came for it: it was accepted here, and begins at once. */
  isNew = false;
  /** Something came for it: if it is being put off, it is due at once. */
  isHastened = false;
  /** Why it is not handled, of what was stored: its input fits its schema no more, or it is not allowed. Becomes the reply. */
  inputError: unknown = null;
  /** Who waits for a volatile request: its sender alone, and no longer than it is in memory. Those of others are in reply-waiters.ts. */
  caller: Pick<Waiter, "peer" | "answer"> | null = null;
  /** Whether a handler that runs on its very shard called it. */
  isNested = false;
  /** For a streamed reply: how far the producer may run ahead. */
  window: ChunkWindow | null = null;
  /** Of a persisted stream: how many chunks storage has, as far as this runner knows. */
  chunkCount = 0;
  #ended: { readonly reason: EndReason; readonly why: string } | null = null;
  readonly #abort = new Abort();
  #onMoved: (() => void) | null = null;

  constructor(
    request: { envelope: Envelope; rpc: AnyRpc; input: unknown },
    state: { attempts: number; attemptIsRecorded: boolean; isAccepted: boolean },
  ) {
    this.envelope = request.envelope;
    this.rpc = request.rpc;
    this.input = request.input;
    this.isUninterruptible = request.envelope.uninterruptible || request.rpc.uninterruptible;
    this.attempts = state.attempts;
    this.attemptIsRecorded = state.attemptIsRecorded;
    this.isAccepted = state.isAccepted;
  }

  get id(): string {
    return this.envelope.requestId;
  }

  get ended(): { readonly reason: EndReason; readonly why: string } | null {
    return this.#ended;
  }

  /** Whether this runner may not go on with it. Asked anew after each await. */
  hasMoved(): boolean {
    return this.#ended?.reason === "moved";
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get aborted(): AbortWatch {
    return this.#abort;
  }

  /** Aborts the handler's signal. That the shard moved outweighs that the caller left: nothing may be recorded then. */
  end(reason: EndReason, why: string): void {
    if (this.#ended !== null && (this.#ended.reason === "moved" || reason === "interrupted")) return;
    this.#ended = { reason, why };
    // Not retryable, also where its shard moves: another handler may throw it on, as its reply.
    this.#abort.abort(new InterruptedError({ what: describeCall(this.envelope), why }));
    this.window?.close();
    if (reason === "moved") this.#onMoved?.();
  }

  /** Nobody reads its stream now: its handler is not to wait for a reader. */
  unread(): void {
    if (!this.rpc.stream) return;
    this.window ??= new ChunkWindow();
    this.window.unread();
  }

  /** Resolves to what the work comes to, which must not reject, or to `moved` once the shard moved away. One waits at a time. */
  unlessMoved<Result>(work: Promise<Result>, moved: Result): Promise<Result> {
    if (this.hasMoved()) return Promise.resolve(moved);
    return new Promise((resolve) => {
      this.#onMoved = () => resolve(moved);
      void work.then(resolve);
    });
  }
}
