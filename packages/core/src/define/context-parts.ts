// What a workflow's context is made of.

import type { AnyWorkflowContract } from "../contract/workflow-contract.ts";
import type { CallOptions } from "../client/call-options.ts";
import type { CallTarget } from "../client/caller.ts";
import type { EntityPeers } from "../client/entity-client.ts";
import type { WorkflowClients } from "../client/workflow-client.ts";
import type { Call } from "../entity/behavior.ts";
import type { Children } from "../workflow/children.ts";
import type { Compensations } from "../workflow/compensation.ts";
import type { Execution } from "../workflow/execution.ts";
import type { ExecutionServices } from "../workflow/execution-services.ts";
import type { AnyActivity } from "./activity-group.ts";

/** What the cluster gives a workflow. */
export interface WorkflowServices extends ExecutionServices {
  readonly entity: EntityPeers;
  readonly workflow: WorkflowClients;
  readonly callEntity: (target: CallTarget, input: unknown, options: CallOptions) => Promise<unknown>;
  readonly notifyEntity: (target: CallTarget, input: unknown, options: CallOptions) => Promise<void>;
}

/** The activities as the code calls them, each with its name in the journal. */
export type NamedActivities = ReadonlyMap<
  string,
  { readonly journalName: string; readonly activity: AnyActivity }
>;

export interface WorkflowContextParts {
  readonly execution: Execution;
  readonly call: Call;
  readonly contract: AnyWorkflowContract;
  readonly activities: NamedActivities;
  readonly services: WorkflowServices;
  readonly compensations: Compensations;
  readonly children: Children;
  /** Seeds chance. */
  readonly seed: string;
}
