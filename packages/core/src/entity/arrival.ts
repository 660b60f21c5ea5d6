// Arrival: a request that came from a caller, on its way to a place in a mailbox, and how it is refused one.

import type { AnyRpc } from "../contract/rpc.ts";
import type { Envelope } from "../data/envelope.ts";
import type { RejectionCode } from "../data/wire-message.ts";
import type { Activation } from "./activation.ts";
import type { EntityBehavior } from "./behavior.ts";
import type { Counters } from "./counters.ts";
import type { HostedShard } from "./hosted-shard.ts";
import type { Answer } from "./reply-waiters.ts";

/** A request between its coming and its admission. */
export interface Arrival {
  envelope: Envelope;
  readonly peer: string;
  readonly answer: Answer;
  /** Of a stream: from where on its reader lacks it. */
  readonly readFrom: number;
  /** A handler of this process that runs on its very shard sent it. */
  readonly isNested: boolean;
  /** Of a persisted one: whether it surely came nowhere before, and nobody has stored it (A4). */
  isFirst: boolean;
  /** Its caller left meanwhile, and waits for nothing. */
  hasLeft: boolean;
}

/** What a request is for, as it was found while its shard was served here. */
export interface Destination {
  readonly shard: HostedShard;
  readonly behavior: EntityBehavior;
  readonly rpc: AnyRpc;
}

/** A copy of a refusal must not be taken for one of the next sending, which may have run. */
export function toSending(sending: number, answer: Answer): Answer {
  return (message) => answer(message.type === "rejected" ? { ...message, sending } : message);
}

export function refuse({ envelope, answer }: Arrival, code: RejectionCode, detail: string): null {
  answer({ type: "rejected", requestId: envelope.requestId, code, detail });
  return null;
}

export function refuseFull(arrival: Arrival, { mailbox }: Activation, counters: Counters): null {
  counters.mailboxFull += 1;
  return refuse(arrival, "MAILBOX_FULL", String(mailbox.capacity));
}
