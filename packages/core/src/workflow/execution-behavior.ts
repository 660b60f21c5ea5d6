// Execution behavior: what runs a workflow's executions as entities of its hidden type.

import type { Clock } from "../adapter/clock.ts";
import type { Random } from "../adapter/random.ts";
import type { WorkflowStorage } from "../adapter/workflow-storage.ts";
import type { Logger } from "../contract/logger.ts";
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

/** How often an execution whose code diverged looks whether fixed code was deployed. */
const PARKED_MS = 10_000;

/** @param execute runs the workflow's code on an execution, with the parsed input */
export function executionBehavior(
  contract: AnyWorkflowContract,
  services: ExecutionServices,
  execute: (execution: Execution, call: Call, input: unknown) => Promise<unknown>,
): EntityBehavior {
  const run = async (input: unknown, call: Call): Promise<unknown> => {
    const { entityType, entityId: executionId } = call.envelope.address;
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
        return new Suspension(services.clock.now() + PARKED_MS);
    }
  };
  return { contract: contract.entity, activate: () => ({ [EXECUTE]: run }) };
}
