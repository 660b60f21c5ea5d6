import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { EntityContract } from "./entity-contract.ts";
import { rpc, type ErrorClass } from "./rpc.ts";

/** The types of one workflow. A caller's side and the code's side differ where a schema transforms. */
export interface WorkflowTypes {
  callerInput: unknown;
  input: unknown;
  output: unknown;
  callerOutput: unknown;
}

/** What callers and runners agree on about one workflow. */
export interface WorkflowContract<T extends WorkflowTypes = WorkflowTypes> {
  readonly name: string;
  readonly input: StandardSchemaV1 | undefined;
  readonly output: StandardSchemaV1 | undefined;
  /** Names the execution of an input; null: the input itself does. */
  readonly key: ((input: never) => string) | null;
  /** Whether the execution id is a hash of the key, or the key as it is. */
  readonly hashKey: boolean;
  /** How long a finished execution is kept, or null for ever. */
  readonly retentionMs: number | null;
  /** An execution is an entity of this hidden type, whose id is the execution id. */
  readonly entity: EntityContract;
  /** Never set: carries the types to clients and handlers. */
  readonly types?: T;
}

// oxlint-disable-next-line no-explicit-any -- any workflow at all; `unknown` would not be assignable both ways
export type AnyWorkflowContract = WorkflowContract<any>;

/** The one rpc of an execution's entity. */
export const EXECUTE = "execute";

/** The hidden entity type of a workflow's executions. */
export function executionEntityType(workflow: string): string {
  return `workflow:${workflow}`;
}

/**
 * The entity behind a workflow's executions. Its one rpc has a constant key: whoever starts, executes or joins an
 * execution sends the same request, for ever. It has no schema, since joining needs no input: clients and the execution
 * itself check inputs and outputs.
 */
export function executionContract(
  workflow: string,
  shardGroup: string,
  errors: readonly ErrorClass[],
): EntityContract {
  return {
    name: executionEntityType(workflow),
    shardGroup,
    maxIdleTimeMs: null,
    mailboxCapacity: null,
    concurrency: 0,
    rpcs: {
      [EXECUTE]: rpc<unknown, unknown>({
        persisted: true,
        uninterruptible: true,
        primaryKey: () => EXECUTE,
        errors,
      }),
    },
  };
}
