import type { RequestState } from "../adapter/message-storage.ts";
import type { ExecutionKey, StoredExecution } from "../adapter/workflow-storage.ts";
import { EXECUTE, EXECUTION_TAGS, type AnyWorkflowContract } from "../contract/workflow-contract.ts";
import type { ExecutionRecord } from "../data/execution-record.ts";
import { ExecutionStateError, UnknownExecutionError } from "../errors/workflow.ts";
import type { CallLimits } from "./call-limits.ts";
import type { CallTarget, Caller } from "./caller.ts";
import type { ExecutionAccess } from "./execution-access.ts";
import { executionRecord } from "./execution-listing.ts";
import { executionTarget } from "./execution-target.ts";

/** One execution as its callers address it: where it is reached, and what storage knows of it. */
export class AddressedExecution {
  readonly caller: Caller;
  readonly access: ExecutionAccess;
  readonly contract: AnyWorkflowContract;
  readonly executionId: string;

  constructor(caller: Caller, access: ExecutionAccess, contract: AnyWorkflowContract, executionId: string) {
    this.caller = caller;
    this.access = access;
    this.contract = contract;
    this.executionId = executionId;
  }

  get key(): ExecutionKey {
    return { entityType: this.contract.entity.name, executionId: this.executionId };
  }

  /** Where a message of this tag to it goes. */
  to(tag: string): CallTarget {
    return executionTarget(this.contract, this.executionId, tag);
  }

  /** What became of the request that it is. Null: there is no such execution. */
  lookUp(limits?: CallLimits): Promise<RequestState | null> {
    return this.caller.lookUpByKey(this.to(EXECUTE), EXECUTE, limits);
  }

  /** The same of one that is taken to be there. @throws {UnknownExecutionError} */
  async known(limits?: CallLimits): Promise<RequestState> {
    return (await this.lookUp(limits)) ?? this.#unknown();
  }

  /** What a list says of it. @throws {UnknownExecutionError} */
  async record(): Promise<ExecutionRecord> {
    const { access, contract, executionId } = this;
    return (await executionRecord(access, contract, executionId)) ?? this.#unknown();
  }

  /** Its journal, and what came for it. */
  stored(): Promise<StoredExecution> {
    return this.access.workflows().readExecution(this.key, EXECUTION_TAGS);
  }

  /** Why `what` cannot be done to it, as it is now. */
  async refusal(what: string, hint: string): Promise<ExecutionStateError> {
    const { access, contract, executionId } = this;
    const status = (await executionRecord(access, contract, executionId))?.status ?? "completed";
    return new ExecutionStateError({ workflow: contract.name, executionId, status, what, hint });
  }

  #unknown(): never {
    throw new UnknownExecutionError({ workflow: this.contract.name, executionId: this.executionId });
  }
}
