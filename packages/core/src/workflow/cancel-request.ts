// CancelRequest: takes a request to cancel an execution to its code: written down first, and in its turn among the results (C1 of
// cancellation.ts).

import { encodePayload } from "../contract/payload.ts";
import { WorkflowCancelledError } from "../errors/workflow.ts";
import { outsideBody } from "./activity-body.ts";
import type { Cancellation } from "./cancellation.ts";
import type { DeliveryQueue } from "./delivery-queue.ts";
import type { ExecutionOptions } from "./execution-options.ts";
import type { Progress } from "./progress.ts";
import type { Recorder } from "./recorder.ts";

export interface CancelRequestParts {
  readonly options: Pick<ExecutionOptions, "contract" | "run" | "call">;
  readonly recorder: Recorder;
  readonly queue: DeliveryQueue;
  readonly cancellation: Cancellation;
  readonly progress: Readonly<Progress>;
}

export class CancelRequest {
  readonly #parts: CancelRequestParts;
  #whenCancelled: ((reason: string) => void) | null = null;
  #arriving: Promise<void> | null = null;

  constructor(parts: CancelRequestParts) {
    this.#parts = parts;
  }

  /** Resolves when the one that was taken has reached the code; null: none was. */
  get arriving(): Promise<void> | null {
    return this.#arriving;
  }

  /** The code begins, and not before one that is recorded can reach it. `whenCancelled` is told its reason, before the code is. */
  begin(whenCancelled: (reason: string) => void): void {
    const { cancellation, options, queue } = this.#parts;
    this.#whenCancelled = whenCancelled;
    if (cancellation.error !== null) whenCancelled(cancellation.error.reason);
    const recorded = options.run.cancellation;
    if (recorded !== null) queue.deliver(recorded.ordinal, () => this.#arrive(recorded.reason));
  }

  /** One came: the first that is recorded counts. */
  take(reason: string): void {
    const { options, recorder, progress } = this.#parts;
    const { cancellation, wasCancelled } = options.run;
    if (progress.isOver || wasCancelled || cancellation !== null || this.#arriving !== null) return;
    const event = { type: "completed", value: encodePayload(reason, "A reason") } as const;
    this.#arriving = new Promise((resolve) =>
      recorder.deliver({ position: -1, kind: "cancel", name: "cancel", event }, () => {
        this.#arrive(reason);
        resolve();
      }),
    );
  }

  #arrive(reason: string): void {
    const { options, cancellation, progress } = this.#parts;
    if (progress.isStopped) return;
    const { contract, call } = options;
    const error = new WorkflowCancelledError({
      workflow: contract.name,
      executionId: call.envelope.address.entityId,
      reason,
    });
    // Who listens for it is the workflow's code, also where an activity's body cancelled its own execution.
    outsideBody(() => {
      this.#whenCancelled?.(reason);
      cancellation.deliver(error);
    });
  }
}
