// Execution behavior: what runs a workflow's executions as entities of its hidden type.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { Logger } from "../contract/logger.ts";
import { backoffMs } from "../clock/backoff.ts";
import { parse } from "../contract/schema.ts";
import type { StorageTransaction } from "../contract/transaction.ts";
import { EXECUTE, type AnyWorkflowContract } from "../contract/workflow-contract.ts";
import { Suspension, type Call, type EntityBehavior } from "../entity/behavior.ts";
import { NonDeterminismError, WorkflowFailedError } from "../errors/workflow.ts";
import { Execution } from "./execution.ts";

export interface ExecutionServices {
  readonly storage: WorkflowStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly exposeStacks: boolean;
  readonly maxPayloadBytes: number;
  /** Undefined where the storage has no transactions for activities. */
  readonly beginTransaction: (() => StorageTransaction) | undefined;
}

/** How often an execution whose code diverged looks whether fixed code was deployed: less and less. */
const PARKED = { kind: "exponential", initialMs: 10_000, maxMs: 60_000, jitter: 0 } as const;

/** @param execute runs the workflow's code on an execution, with the parsed input */
export function executionBehavior(
  contract: AnyWorkflowContract,
  services: ExecutionServices,
  execute: (execution: Execution, call: Call, input: unknown) => Promise<unknown>,
): EntityBehavior {
  /** By fence and execution: what its last copy here has on its way to storage (journal.ts, J5). */
  const underWay = new Map<string, Promise<void>>();
  /** How often in a row an execution has been parked here. */
  const parked = new Map<string, number>();
  const run = async (input: unknown, call: Call): Promise<unknown> => {
    const { entityType, entityId: executionId } = call.envelope.address;
    // A claim waits for the writes under older epochs, so those of other fences have ended.
    const copy = `${call.fence.shardId}/${call.fence.epoch}/${executionId}`;
    await underWay.get(copy);
    const entries = await services.storage.readJournal({ entityType, executionId });
    const errors = contract.entity.rpcs[EXECUTE]?.errors ?? [];
    const execution = new Execution({ ...services, workflow: contract.name, call, entries, errors });
    const end = await execution.run(async () => {
      const output = await execute(
        execution,
        call,
        await parse(contract.input, input, `the workflow ${contract.name}`),
      );
      await parse(contract.output, output, `the result of ${contract.name}`);
      return output;
    });
    const settled = execution.settled();
    if (settled !== null)
      underWay.set(
        copy,
        settled.finally(() => underWay.delete(copy)),
      );
    const isParked = end.type === "stopped" && end.error instanceof NonDeterminismError;
    const parkings = isParked ? (parked.get(executionId) ?? 0) + 1 : 0;
    if (isParked) parked.set(executionId, parkings);
    else parked.delete(executionId);
    switch (end.type) {
      case "completed":
        return end.value;
      case "suspended":
        return new Suspension(end.until);
      case "failed": {
        const reason =
          end.error instanceof Error ? end.error.message : "something that is not an Error was thrown";
        throw new WorkflowFailedError({ workflow: contract.name, executionId, reason }, { cause: end.error });
      }
      case "stopped":
        if (!(end.error instanceof NonDeterminismError)) throw end.error;
        // A matter of deploying: it waits, and its journal stays as it is.
        services.logger.error("An execution waits for fixed code", { executionId, error: end.error.message });
        return new Suspension(services.clock.now() + backoffMs(PARKED, parkings, services.random));
    }
  };
  return { contract: contract.entity, activate: () => ({ [EXECUTE]: run }) };
}
