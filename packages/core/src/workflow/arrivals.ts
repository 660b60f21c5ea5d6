// Arrivals: what comes for an execution from outside while it is in memory, and what its inbox had before.
//
//   A1  Each message counts once, whichever way it comes, and however often.
//   A2  What the code sees of it is not taken before the replay is over: what the journal holds came first. Who watches
//       for the end is known at once: it may be all that is left to come.

import type { InboxMessage } from "../adapter/workflow-storage.ts";
import { decodePayload } from "../contract/payload.ts";
import { CANCEL, SIGNAL, WATCH, type NamedMessage, type Watcher } from "../contract/workflow-contract.ts";
import { unreadableJournal } from "./recorded-run.ts";
import { SignalBuffer } from "./signal-buffer.ts";

export class Arrivals {
  /** Made when something of it is asked for, as are the ids of what came: most executions are sent nothing. */
  #signals: SignalBuffer | null = null;
  readonly #watchers: Watcher[] = [];
  readonly #consumed: ReadonlySet<string>;
  #received: Set<string> | null = null;
  /** What came before the replay was over; null: it is. */
  #early: InboxMessage[] | null = [];
  readonly #cancelled: (reason: string) => void;

  /**
   * @param consumed request ids of what the journal has: it may come once more, after a crash before it was answered
   * @param cancelled is called for each request to cancel
   */
  constructor(
    inbox: readonly InboxMessage[],
    consumed: ReadonlySet<string>,
    cancelled: (reason: string) => void,
  ) {
    this.#consumed = consumed;
    this.#cancelled = cancelled;
    for (const message of inbox) this.add(message);
  }

  get signals(): SignalBuffer {
    this.#signals ??= new SignalBuffer();
    return this.#signals;
  }

  /** Who is to be woken at the execution's end. */
  get watchers(): readonly Watcher[] {
    return this.#watchers;
  }

  add(message: InboxMessage): void {
    this.#received ??= new Set(this.#consumed);
    if (this.#received.has(message.requestId)) return;
    this.#received.add(message.requestId);
    if (message.tag === WATCH) this.#watchers.push(decodePayload(message.payload, "A watcher") as Watcher);
    else if (this.#early === null) this.#take(message);
    else this.#early.push(message);
  }

  /** The replay is over: what came meanwhile is taken. */
  open(): void {
    const early = this.#early ?? [];
    this.#early = null;
    for (const message of early) this.#take(message);
  }

  #take({ requestId, tag, payload }: InboxMessage): void {
    const input = contentOf(payload);
    if (tag === SIGNAL) this.signals.add({ requestId, ...(input as NamedMessage) });
    else if (tag === CANCEL) this.#cancelled(String(input));
  }
}

/** @throws {DefinitionError} another release has sent it, and this one cannot read it */
function contentOf(payload: string): unknown {
  try {
    return decodePayload(payload, "A message to an execution");
  } catch (cause) {
    throw unreadableJournal(cause);
  }
}
