import { MAX_NAME_BYTES, takesAtMost } from "../contract/key.ts";
import type { AnyRpc, AnyRpcs, IsStream, RpcHandlerInput, RpcHandlerOutput } from "../contract/rpc.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { Epoch } from "../data/epoch.ts";
import { DefinitionError } from "../errors/config.ts";
import type { HandlerContext } from "../client/handler-context.ts";

/** What answers one rpc: an async function, or for a streaming rpc an async generator. */
export type HandlerOf<R extends AnyRpc> =
  IsStream<R> extends true
    ? (input: RpcHandlerInput<R>, ctx: HandlerContext) => AsyncIterable<RpcHandlerOutput<R>>
    : (input: RpcHandlerInput<R>, ctx: HandlerContext) => RpcHandlerOutput<R> | Promise<RpcHandlerOutput<R>>;

/** A handler for each rpc. */
export type HandlersOf<Rpcs extends AnyRpcs> = { readonly [Tag in keyof Rpcs]: HandlerOf<Rpcs[Tag]> };

/** One entity while it is in memory: what a function given to `implement` is called with. */
export interface EntityScope {
  readonly entityId: string;
  readonly address: EntityAddress;
  readonly fencingToken: Epoch;
  /** Aborted when the entity leaves memory, also when its shard is lost at once. */
  readonly signal: AbortSignal;
  /**
   * `callback` is awaited before the entity leaves memory in order, for `entityTerminationTimeout` at most, and where it leaves
   * for idleness for a minute, if that is longer; then `signal` is aborted, and it is left behind. It is not called after a
   * crash; after a lost lease it is, with `signal` aborted, and nobody waits: another runner may have the entity already.
   */
  onEvict(callback: () => void | Promise<void>): void;
}

/** @throws {DefinitionError} a name that clients cannot have as a property, or something that `rpc()` did not make */
export function checkRpcs<Rpcs extends AnyRpcs>(of: string, rpcs: Rpcs): Rpcs {
  if (typeof rpcs !== "object" || rpcs === null)
    throw new DefinitionError(`${capital(of)} has no rpcs: give at least an empty object.`);
  for (const [tag, rpc] of Object.entries<unknown>(rpcs)) {
    // A client that had these would be taken for a promise, or break when it is logged.
    if (["then", "constructor", "toJSON", "__proto__", ""].includes(tag)) {
      throw new DefinitionError(
        `${capital(of)} has an rpc named "${tag}", which no client can have. Choose another name.`,
      );
    }
    if (!takesAtMost(tag, MAX_NAME_BYTES)) {
      throw new DefinitionError(
        `${capital(of)} has an rpc whose name takes more than ${MAX_NAME_BYTES} bytes in UTF-8. Choose a shorter one.`,
      );
    }
    if (typeof rpc !== "object" || rpc === null || !("kind" in rpc) || rpc.kind !== "rpc") {
      throw new DefinitionError(`The rpc "${tag}" of ${of} was not made by rpc().`);
    }
  }
  return Object.freeze({ ...rpcs });
}

/** @throws {DefinitionError} it is no object that can have handlers: nothing, or a promise of one */
export function checkObject(of: string, handlers: unknown): void {
  if (handlers instanceof Promise)
    throw new DefinitionError(
      `The implementation of ${of} is a promise: the function that makes its handlers must return them, and not be async.`,
    );
  if (typeof handlers !== "object" || handlers === null)
    throw new DefinitionError(`The implementation of ${of} is no object of handlers.`);
}

/** @throws {DefinitionError} names the rpcs without a handler, or the handlers without an rpc */
export function checkHandlers(of: string, rpcs: AnyRpcs, handlers: Readonly<Record<string, unknown>>): void {
  checkObject(of, handlers);
  const missing = Object.keys(rpcs).filter((tag) => typeof handlers[tag] !== "function");
  if (missing.length > 0)
    throw new DefinitionError(`The implementation of ${of} has no handler for: ${missing.join(", ")}.`);
  const unknown = Object.keys(handlers).filter((tag) => !Object.hasOwn(rpcs, tag));
  if (unknown.length > 0) {
    throw new DefinitionError(
      `The implementation of ${of} has handlers without an rpc: ${unknown.join(", ")}. A private operation is a plain function.`,
    );
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
