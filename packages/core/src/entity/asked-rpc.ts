import { rpcNamed } from "../contract/entity-contract.ts";
import { decodePayload } from "../contract/payload.ts";
import type { AnyRpc } from "../contract/rpc.ts";
import { parse } from "../contract/schema.ts";
import type { Envelope } from "../data/envelope.ts";
import type { RejectionCode } from "../data/wire-message.ts";
import { InvalidInputError } from "../errors/routing.ts";
import type { EntityBehavior } from "./behavior.ts";
import { describeInvalidInput, knownNames } from "./rejection.ts";

/** Why a request is not handled. */
export interface Refusal {
  readonly code: RejectionCode;
  readonly detail: string;
}

/** The rpc that a request is for, and whether this request may have it. */
export type AskedRpc =
  | { readonly rpc: AnyRpc; readonly refusal: null }
  /** Null: this code has none of that name. */
  | { readonly rpc: AnyRpc | null; readonly refusal: Refusal };

/** Of a request that came, however it came. The client asks the same, where it has the definition. */
export function askedRpc({ contract }: EntityBehavior, envelope: Envelope): AskedRpc {
  const { address, tag, fromInside, expects } = envelope;
  const rpc = rpcNamed(contract, tag);
  if (rpc === undefined)
    return { rpc: null, refusal: { code: "UNKNOWN_RPC", detail: knownNames(Object.keys(contract.rpcs)) } };
  if (rpc.visibility === "protected" && !fromInside)
    return { rpc, refusal: { code: "PROTECTED_RPC", detail: "" } };
  // Only callers without its definition take the one for the other, and would wait for what never comes.
  if (expects === "acceptance" || rpc.stream === (expects === "stream")) return { rpc, refusal: null };
  const message = rpc.stream
    ? "this rpc streams its reply: call it with sendStream"
    : "this rpc replies once, and streams nothing: call it with send";
  const error = new InvalidInputError({ of: `${address.entityType}.${tag}`, issues: [{ message }] });
  return { rpc, refusal: { code: "INVALID_INPUT", detail: describeInvalidInput(error) } };
}

/** The input of a request that was accepted, parsed anew: a promise where there is a schema. @throws it cannot be decoded */
export function acceptedInput(rpc: AnyRpc, { address, tag, payload }: Envelope): unknown {
  return parse(
    rpc.input,
    decodePayload(payload, "A stored input"),
    () => `The input of ${address.entityType}.${tag}`,
  );
}
