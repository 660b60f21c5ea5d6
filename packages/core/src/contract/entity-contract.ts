import { DefinitionError } from "../errors/config.ts";
import { MAX_NAME_BYTES, takesAtMost } from "./key.ts";
import type { AnyRpc, AnyRpcs } from "./rpc.ts";

/** What callers and runners agree on about one entity type. */
export interface EntityContract<Rpcs extends AnyRpcs = AnyRpcs> {
  /** The entity type on the wire and in storage. */
  readonly name: string;
  readonly shardGroup: string;
  /** Milliseconds without a request after which an entity leaves memory, or null for the cluster's default. */
  readonly maxIdleTimeMs: number | null;
  /** How many requests wait at the most, or null for the cluster's default. */
  readonly mailboxCapacity: number | null;
  /** Requests handled at a time per entity, 0 for no bound, or null for the cluster's default. */
  readonly concurrency: number | null;
  /** Its own rpcs and those of its groups. */
  readonly rpcs: Rpcs;
}

/** The rpc of this name. Undefined: there is none, which may be since nothing is known of the type here. */
export function rpcNamed({ rpcs }: Pick<EntityContract, "rpcs">, tag: string): AnyRpc | undefined {
  return Object.hasOwn(rpcs, tag) ? rpcs[tag] : undefined;
}

/** The characters of a definition's name: it stands in keys, in tables and on the wire. */
const NAME = /^[\p{L}\p{N}_.:-]{1,128}$/u;

/** @throws {DefinitionError} `name` is empty, too long, or has characters that keys do not take */
export function checkName(kind: string, name: unknown): string {
  if (typeof name !== "string" || !NAME.test(name) || !takesAtMost(name, MAX_NAME_BYTES)) {
    throw new DefinitionError(
      `The name of ${kind} is ${JSON.stringify(name) ?? "missing"}, but it takes 1 to 128 letters, digits, "_", ".", ":" or "-", ` +
        `and at most ${MAX_NAME_BYTES} bytes in UTF-8.`,
    );
  }
  return name;
}
