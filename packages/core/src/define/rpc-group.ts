import { checkName } from "../contract/entity-contract.ts";
import { checkOptionNames, type OptionNames } from "../contract/option-names.ts";
import type { AnyRpcs } from "../contract/rpc.ts";
import { checkHandlers, checkRpcs, type EntityScope, type HandlersOf } from "./handlers.ts";

/** A bundle of rpcs that several entities have in common. */
export interface RpcGroupDefinition<Rpcs extends AnyRpcs = AnyRpcs> {
  readonly kind: "rpc-group";
  readonly name: string;
  readonly rpcs: Rpcs;
  /** @throws {DefinitionError} a handler is missing, or is no function */
  implement(
    handlers: HandlersOf<Rpcs> | ((entity: EntityScope) => HandlersOf<Rpcs>),
  ): RpcGroupImplementation<Rpcs>;
}

/** The handlers of a group. */
export interface RpcGroupImplementation<Rpcs extends AnyRpcs = AnyRpcs> {
  readonly kind: "rpc-group-implementation";
  readonly definition: RpcGroupDefinition<Rpcs>;
  readonly handlers: HandlersOf<Rpcs> | ((entity: EntityScope) => HandlersOf<Rpcs>);
}

/** An rpc group, whatever its rpcs. */
// oxlint-disable-next-line no-explicit-any -- any group at all; `unknown` would not be assignable both ways
export type AnyRpcGroup = RpcGroupDefinition<any>;

const OPTION_NAMES: OptionNames<Pick<RpcGroupDefinition, "name" | "rpcs">> = { name: true, rpcs: true };

/** Defines a bundle of rpcs. Entities list it in `groups` and implement it once, or take an implementation made elsewhere. */
export function defineRpcGroup<const Rpcs extends AnyRpcs>(options: {
  readonly name: string;
  readonly rpcs: Rpcs;
}): RpcGroupDefinition<Rpcs> {
  checkOptionNames(options, OPTION_NAMES);
  const name = checkName("an rpc group", options.name);
  const rpcs = checkRpcs(`the rpc group "${name}"`, options.rpcs);
  const definition: RpcGroupDefinition<Rpcs> = {
    kind: "rpc-group",
    name,
    rpcs,
    implement(handlers) {
      if (typeof handlers !== "function") checkHandlers(`the rpc group "${name}"`, rpcs, handlers);
      return Object.freeze({ kind: "rpc-group-implementation", definition, handlers });
    },
  };
  return Object.freeze(definition);
}
