// JournaledPeer: entities as a workflow's code calls them: each call is a step of its execution.

import { copyOf } from "../contract/copy-of.ts";
import type { EntityContract } from "../contract/entity-contract.ts";
import { checkGivenDefinition } from "../contract/given-definition.ts";
import type { AnyRpcs } from "../contract/rpc.ts";
import { isAbortSignal } from "../client/call-limits.ts";
import { checkCallOptions, type CallOptions } from "../client/call-options.ts";
import type { CallTarget } from "../client/caller.ts";
import type { EntityPeer } from "../client/entity-client.ts";
import { DefinitionError } from "../errors/config.ts";
import { callStep } from "../workflow/call-step.ts";
import type { Execution } from "../workflow/execution.ts";
import type { WorkflowServices } from "./context-parts.ts";

export function journaledPeer(
  execution: Execution,
  services: WorkflowServices,
  contract: EntityContract,
  entityId: string,
): EntityPeer<AnyRpcs> {
  checkGivenDefinition("entity", contract);
  const peer: Record<string, unknown> = {};
  for (const [tag, rpc] of Object.entries(contract.rpcs)) {
    const target: CallTarget = { contract, entityId, tag, fromInside: true };
    const name = `${contract.name}.${tag}`;
    const call =
      (send: WorkflowServices["callEntity"]) =>
      (inputGiven: unknown, optionsGiven: CallOptions = {}) => {
        // As they are now: they are sent once the journal is ready, and again by a later copy of the execution.
        const [input, options] = [copyOf(inputGiven), copyOf(optionsGiven)];
        const content = (): unknown => [entityId, input];
        return execution.step({ kind: "rpc", name, role: "work", content, errors: rpc.errors }, (step) => {
          checkCallOptions(options);
          const { signal: given } = options;
          // What is no signal is refused where it is sent.
          const isRefused = given !== undefined && !isAbortSignal(given);
          return callStep(step, execution.scope, {
            isJoinable: rpc.persisted,
            signal: isRefused ? undefined : given,
            send: async (key, either) => {
              const own = rpc.persisted && rpc.primaryKey === undefined ? key : undefined;
              return send(target, input, {
                ...options,
                // Undefined, they are not given: without its key the call would be another one in each copy of the execution.
                idempotencyKey: options.idempotencyKey ?? own,
                // An execution that leaves memory must not interrupt the call: the reply would be its error, for ever.
                uninterruptible: options.uninterruptible ?? (rpc.persisted || rpc.uninterruptible),
                signal: isRefused ? given : either,
              });
            },
          });
        });
      };
    peer[tag] = rpc.stream
      ? () => {
          throw new DefinitionError(
            `${name} streams its reply, which a workflow cannot journal. Call it in an activity, and return what you need of it.`,
          );
        }
      : Object.assign(call(services.callEntity), { notify: call(services.notifyEntity) });
  }
  return Object.freeze(peer) as EntityPeer<AnyRpcs>;
}
