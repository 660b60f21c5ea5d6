import { HoldfastError } from "./holdfast-error.ts";

/** An execution ended with an error, which is the `cause`. */
export class WorkflowFailedError extends HoldfastError {
  override readonly name = "WorkflowFailedError";
  readonly code = "WORKFLOW_FAILED";
  readonly executionId: string;

  constructor(execution: { workflow: string; executionId: string; reason: string }, options?: ErrorOptions) {
    super(
      `The execution ${execution.executionId} of ${execution.workflow} failed: ${execution.reason}`,
      options,
    );
    this.executionId = execution.executionId;
  }
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

/** An execution was cancelled. */
export class WorkflowCancelledError extends HoldfastError {
  override readonly name = "WorkflowCancelledError";
  readonly code = "WORKFLOW_CANCELLED";
  readonly executionId: string;

  constructor(execution: { workflow: string; executionId: string; reason: string }, options?: ErrorOptions) {
    super(
      `The execution ${execution.executionId} of ${execution.workflow} was cancelled: ${execution.reason}.`,
      options,
    );
    this.executionId = execution.executionId;
  }
}

/** The code asks for another step than the journal holds. The journal is untouched; the fixed code resumes it. */
export class NonDeterminismError extends HoldfastError {
  override readonly name = "NonDeterminismError";
  readonly code = "NON_DETERMINISM";
  readonly executionId: string;
  readonly position: number;

  constructor(
    divergence: { workflow: string; executionId: string; position: number; recorded: string; asked: string },
    options?: ErrorOptions,
  ) {
    super(
      `The execution ${divergence.executionId} of ${divergence.workflow} diverges at step ${divergence.position}: its ` +
        `journal holds ${divergence.recorded}, the code asks for ${divergence.asked}. The journal is unchanged; deploy ` +
        `code that asks for the same steps in the same order, and the execution goes on.`,
      options,
    );
    this.executionId = divergence.executionId;
    this.position = divergence.position;
  }
}

/** No signal came within the time that the workflow waited for it. */
export class SignalTimeoutError extends HoldfastError {
  override readonly name = "SignalTimeoutError";
  readonly code = "SIGNAL_TIMEOUT";

  constructor(wait: { signal: string; timeoutMs: number }, options?: ErrorOptions) {
    super(`No signal "${wait.signal}" came within ${wait.timeoutMs} ms.`, options);
  }
}

/** An attempt of an activity ran longer than its `timeout`, or sent no heartbeat for longer than its `heartbeatTimeout`. */
export class ActivityTimeoutError extends HoldfastError {
  override readonly name = "ActivityTimeoutError";
  readonly code = "ACTIVITY_TIMEOUT";

  constructor(
    attempt: { activity: string; attempt: number; timeoutMs: number; kind: "timeout" | "heartbeat" },
    options?: ErrorOptions,
  ) {
    super(
      attempt.kind === "timeout"
        ? `Attempt ${attempt.attempt} of activity ${attempt.activity} did not end within ${attempt.timeoutMs} ms.`
        : `Attempt ${attempt.attempt} of activity ${attempt.activity} sent no heartbeat for ${attempt.timeoutMs} ms.`,
      options,
    );
  }
}
