import { rpcNamed, type EntityContract } from "../contract/entity-contract.ts";
import type { CallOptions } from "./call-options.ts";
import type { CallTarget, Caller } from "./caller.ts";

/** Calls an entity type by its name, without its definition. How a request is delivered is the call's choice, not the rpc's. */
export interface UntypedEntityClient {
  /** Best effort: waits for the reply. */
  send(id: string, tag: string, input?: unknown, options?: CallOptions): Promise<unknown>;
  /** At least once: waits for the reply. */
  sendPersisted(id: string, tag: string, input?: unknown, options?: CallOptions): Promise<unknown>;
  /** Best effort: resolves when it is in the mailbox. */
  notify(id: string, tag: string, input?: unknown, options?: CallOptions): Promise<void>;
  /** At least once: resolves when it is durable. */
  notifyPersisted(id: string, tag: string, input?: unknown, options?: CallOptions): Promise<void>;
  /** Persisted, not handled before `deliverAt`: waits for the reply. */
  sendAt(id: string, tag: string, input: unknown, deliverAt: Date, options?: CallOptions): Promise<unknown>;
  /** Persisted, not handled before `deliverAt`: resolves when it is durable. */
  notifyAt(id: string, tag: string, input: unknown, deliverAt: Date, options?: CallOptions): Promise<void>;
  /** Best effort: the reply's elements. */
  sendStream(id: string, tag: string, input?: unknown, options?: CallOptions): AsyncIterableIterator<unknown>;
}

/** @param contract what is known of the type here: its schemas and shard group, or just its name */
export function untypedClient(
  caller: Caller,
  contract: Pick<EntityContract, "name" | "shardGroup" | "rpcs">,
): UntypedEntityClient {
  const target = (entityId: string, tag: string, persisted: boolean): CallTarget => ({
    contract,
    entityId,
    tag,
    fromInside: false,
    persisted,
  });
  return {
    send: (id, tag, input, options) => caller.call(target(id, tag, false), input, options),
    sendPersisted: (id, tag, input, options) => caller.call(target(id, tag, true), input, options),
    notify: (id, tag, input, options) => caller.notify(target(id, tag, false), input, options),
    notifyPersisted: (id, tag, input, options) => caller.notify(target(id, tag, true), input, options),
    sendAt: (id, tag, input, deliverAt, options) =>
      caller.call(target(id, tag, true), input, { ...options, deliverAt: given(deliverAt) }),
    notifyAt: (id, tag, input, deliverAt, options) =>
      caller.notify(target(id, tag, true), input, { ...options, deliverAt: given(deliverAt) }),
    sendStream: (id, tag, input, options) =>
      caller.stream(target(id, tag, rpcNamed(contract, tag)?.persisted ?? false), input, options),
  };
}

/** Of a caller without types that left it out: refused as a time that is none, since without any it would be due now. */
function given(deliverAt: Date | undefined): Date {
  return deliverAt ?? new Date(Number.NaN);
}
