import type { ExecutionStatus } from "../data/execution-record.ts";
import { HoldfastError } from "./holdfast-error.ts";
import { sentence } from "./sentence.ts";

/** A compensation that failed, too. */
export interface FailedCompensation {
  readonly name: string;
  readonly reason: string;
}

const MEND_IT = " Mend its cause, then resume() it, or fork() it where its compensations have run.";

/** An execution ended with an error, which is the `cause`. */
export class WorkflowFailedError extends HoldfastError {
  override readonly name = "WorkflowFailedError";
  readonly code = "WORKFLOW_FAILED";
  readonly executionId: string;
  /** Compensations that failed, in the order in which they ran: what they were to undo is not undone. */
  readonly failedCompensations: readonly FailedCompensation[];

  constructor(
    execution: {
      workflow: string;
      executionId: string;
      reason: string;
      failedCompensations?: readonly FailedCompensation[];
    },
    options?: ErrorOptions,
  ) {
    const { executionId, workflow, reason, failedCompensations = [] } = execution;
    super(
      `The execution ${executionId} of ${workflow} failed: ${toldOnce(reason)}${undone(failedCompensations)}${MEND_IT}`,
      options,
    );
    this.executionId = executionId;
    this.failedCompensations = failedCompensations;
  }
}

/** A child's failure says already what is to be done. */
function toldOnce(reason: string): string {
  return reason.endsWith(MEND_IT) ? reason.slice(0, -MEND_IT.length) : sentence(reason);
}

function undone(failed: readonly FailedCompensation[]): string {
  return failed
    .map(({ name, reason }) => ` The compensation "${name}" failed, too: ${sentence(reason)}`)
    .join("");
}

/** There is no execution of this id, or no more: it was never started, or retention forgot it. */
export class UnknownExecutionError extends HoldfastError {
  override readonly name = "UnknownExecutionError";
  readonly code = "UNKNOWN_EXECUTION";
  readonly executionId: string;

  constructor(execution: { workflow: string; executionId: string }, options?: ErrorOptions) {
    super(
      `There is no execution ${execution.executionId} of ${execution.workflow}. Start it first, or check the id.`,
      options,
    );
    this.executionId = execution.executionId;
  }
}

/** What was asked does not fit where the execution stands: a signal to one that ended, `resume()` of one that did not fail. */
export class ExecutionStateError extends HoldfastError {
  override readonly name = "ExecutionStateError";
  readonly code = "EXECUTION_STATE";
  readonly executionId: string;
  /** Where it stood a moment later. */
  readonly status: ExecutionStatus;

  constructor(
    execution: { workflow: string; executionId: string; status: ExecutionStatus; what: string; hint: string },
    options?: ErrorOptions,
  ) {
    const { workflow, executionId, status, what, hint } = execution;
    super(`${what} is refused: the execution ${executionId} of ${workflow} is ${status}. ${hint}`, options);
    this.executionId = executionId;
    this.status = status;
  }
}

/** An execution was cancelled. Inside of its code: it is asked to end, and may clean up first. */
export class WorkflowCancelledError extends HoldfastError {
  override readonly name = "WorkflowCancelledError";
  readonly code = "WORKFLOW_CANCELLED";
  readonly executionId: string;
  readonly reason: string;
  /** Compensations that failed, in the order in which they ran: what they were to undo is not undone. */
  readonly failedCompensations: readonly FailedCompensation[];

  constructor(
    execution: {
      workflow: string;
      executionId: string;
      reason: string;
      failedCompensations?: readonly FailedCompensation[];
    },
    options?: ErrorOptions,
  ) {
    const { executionId, workflow, reason, failedCompensations = [] } = execution;
    super(
      `The execution ${executionId} of ${workflow} was cancelled: ${sentence(reason)}${undone(failedCompensations)}`,
      options,
    );
    this.executionId = executionId;
    this.reason = reason;
    this.failedCompensations = failedCompensations;
  }
}

/** An execution asked for more steps than a journal may have. */
export class JournalFullError extends HoldfastError {
  override readonly name = "JournalFullError";
  readonly code = "JOURNAL_FULL";
  readonly executionId: string;
  readonly maxSteps: number;

  constructor(
    execution: { workflow: string; executionId: string; maxSteps: number },
    options?: ErrorOptions,
  ) {
    super(
      `The execution ${execution.executionId} of ${execution.workflow} asks for more than ${execution.maxSteps} steps. ` +
        `Begin anew with ctx.continueAsNew(input) every so often, move loops into child workflows, or raise maxSteps of the workflow.`,
      options,
    );
    this.executionId = execution.executionId;
    this.maxSteps = execution.maxSteps;
  }
}

/** A step as an error shows it. */
export interface ShownStep {
  readonly position: number;
  /** Kind and name: `activity "Inventory.reserve"`. */
  readonly step: string;
}

/** The code asks for another step than the journal holds. The journal is untouched; the fixed code resumes it. */
export class NonDeterminismError extends HoldfastError {
  override readonly name = "NonDeterminismError";
  readonly code = "NON_DETERMINISM";
  readonly executionId: string;
  /** Where they part. */
  readonly position: number;
  /** What the journal holds there. */
  readonly recorded: string;
  /** What the code asks for. */
  readonly asked: string;
  /** The journal around it, in the order of positions. */
  readonly journal: readonly ShownStep[];

  constructor(
    divergence: {
      workflow: string;
      executionId: string;
      position: number;
      recorded: string;
      asked: string;
      journal: readonly ShownStep[];
    },
    options?: ErrorOptions,
  ) {
    const { workflow, executionId, position, recorded, asked, journal } = divergence;
    const around = journal.map(
      (each) => `  ${each.position === position ? ">" : " "} ${each.position}  ${each.step}`,
    );
    super(
      `The execution ${executionId} of ${workflow} diverges at step ${position}: its ` +
        `journal holds ${recorded}, the code asks for ${asked}. The journal is unchanged; deploy ` +
        `code that asks for the same steps in the same order, and the execution goes on.` +
        (around.length === 0 ? "" : ` Its journal there:\n${around.join("\n")}`),
      options,
    );
    this.executionId = executionId;
    this.position = position;
    this.recorded = recorded;
    this.asked = asked;
    this.journal = journal;
  }
}

/** No signal came within the time that the workflow waited for it. */
export class SignalTimeoutError extends HoldfastError {
  override readonly name = "SignalTimeoutError";
  readonly code = "SIGNAL_TIMEOUT";
  readonly signal: string;

  constructor(
    wait: { signal: string; timeoutMs: number; executionId?: string | undefined },
    options?: ErrorOptions,
  ) {
    const { signal, timeoutMs, executionId } = wait;
    super(
      `No signal "${signal}" came${executionId === undefined ? "" : ` to the execution ${executionId}`} within ${timeoutMs} ms. ` +
        `Send it in time, wait longer, or catch this error and go on without it.`,
      options,
    );
    this.signal = wait.signal;
  }
}

/** An attempt of an activity ran longer than its `timeout`, or sent no heartbeat for longer than its `heartbeatTimeout`. */
export class ActivityTimeoutError extends HoldfastError {
  override readonly name = "ActivityTimeoutError";
  readonly code = "ACTIVITY_TIMEOUT";

  constructor(
    attempt: {
      activity: string;
      attempt: number;
      timeoutMs: number;
      kind: "timeout" | "heartbeat";
      executionId?: string | undefined;
    },
    options?: ErrorOptions,
  ) {
    const { activity, timeoutMs, kind, executionId } = attempt;
    const what = `Attempt ${attempt.attempt} of activity ${activity}${executionId === undefined ? "" : ` of the execution ${executionId}`}`;
    super(
      kind === "timeout"
        ? `${what} did not end within ${timeoutMs} ms. Raise its timeout, or end sooner.`
        : `${what} sent no heartbeat for ${timeoutMs} ms. Call ctx.heartbeat() more often, or raise its heartbeatTimeout.`,
      options,
    );
  }
}
