// The typed client of one entity. Nothing is sent until a call is made.

import type { EntityContract } from "../contract/entity-contract.ts";
import { checkGivenDefinition } from "../contract/given-definition.ts";
import type { InputArguments } from "../contract/input-arguments.ts";
import type { AnyRpc, AnyRpcs, IsProtected, IsStream, RpcInput, RpcOutput } from "../contract/rpc.ts";
import type { CallOptions } from "./call-options.ts";
import type { CallTarget, Caller } from "./caller.ts";

/** The arguments of a call: the input may be left out where the rpc takes none. */
export type CallArguments<R extends AnyRpc> = InputArguments<RpcInput<R>, CallOptions>;

/** One rpc as a caller sees it. */
export type RpcCall<R extends AnyRpc> =
  IsStream<R> extends true
    ? (...args: CallArguments<R>) => AsyncIterableIterator<RpcOutput<R>>
    : {
        /** Waits for the reply. */
        (...args: CallArguments<R>): Promise<RpcOutput<R>>;
        /** Resolves when the request is accepted: durable if the rpc is persisted, else in the mailbox. */
        notify(...args: CallArguments<R>): Promise<void>;
      };

/** What `cluster.entity(Definition, id)` returns: the public rpcs. */
export type EntityClient<Rpcs extends AnyRpcs> = {
  readonly [Tag in keyof Rpcs as IsProtected<Rpcs[Tag]> extends true ? never : Tag]: RpcCall<Rpcs[Tag]>;
};

/** What `ctx.entity(Definition, id)` returns inside handlers, activities and workflows: protected rpcs, too. */
export type EntityPeer<Rpcs extends AnyRpcs> = { readonly [Tag in keyof Rpcs]: RpcCall<Rpcs[Tag]> };

/** Where clients come from: `entity` of a cluster. */
export type EntityClients = <Rpcs extends AnyRpcs>(
  definition: EntityContract<Rpcs>,
  entityId: string,
) => EntityClient<Rpcs>;
/** Where peers come from: `entity` of a context. */
export type EntityPeers = <Rpcs extends AnyRpcs>(
  definition: EntityContract<Rpcs>,
  entityId: string,
) => EntityPeer<Rpcs>;

/** Makes the client of one entity. It holds a property for each rpc and no other, so awaiting or logging it is harmless. */
export function entityClient(
  caller: Caller,
  contract: EntityContract,
  entityId: string,
  fromInside: boolean,
): Readonly<Record<string, unknown>> {
  checkGivenDefinition("entity", contract);
  const client: Record<string, unknown> = {};
  for (const [tag, rpc] of Object.entries(contract.rpcs)) {
    // A protected rpc stays callable for untyped code, which then gets ProtectedRpcError and not "is not a function".
    client[tag] = rpcCall(caller, { contract, entityId, tag, fromInside }, rpc);
  }
  return Object.freeze(client);
}

function rpcCall(caller: Caller, target: CallTarget, rpc: AnyRpc): unknown {
  if (rpc.stream) return (input: unknown, options?: CallOptions) => caller.stream(target, input, options);
  return Object.assign((input: unknown, options?: CallOptions) => caller.call(target, input, options), {
    notify: (input: unknown, options?: CallOptions) => caller.notify(target, input, options),
  });
}
