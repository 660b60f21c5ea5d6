// Continuation: ends one run of an execution, and begins the next one with an entry in the journal (continueAsNew).

import type { Cancellation } from "./cancellation.ts";
import type { ExecutionEnd, ExecutionOptions } from "./execution-options.ts";
import type { Journal } from "./journal.ts";
import type { Progress } from "./progress.ts";
import { continueEntry, type RunStart } from "./recorded-run.ts";
import type { Recorder } from "./recorder.ts";
import type { Residence } from "./residence.ts";

/** What the next run is given. Where it rejects, the execution fails. */
export type Prepare = () => Promise<Pick<RunStart, "input" | "children">>;

export interface ContinuationParts {
  readonly options: Pick<ExecutionOptions, "contract" | "run">;
  readonly journal: Journal;
  readonly recorder: Recorder;
  readonly residence: Residence;
  readonly cancellation: Cancellation;
  /** Resolves when what is recorded is durable; never where the run is over or has to leave. */
  readonly ready: () => Promise<void> | undefined;
  readonly progress: Progress;
  /** The encoded state that the next run goes on with. */
  readonly state: () => string | null;
  readonly failed: (error: unknown) => void;
  readonly end: (end: ExecutionEnd) => void;
}

export class Continuation {
  readonly #parts: ContinuationParts;

  constructor(parts: ContinuationParts) {
    this.#parts = parts;
  }

  /** Never rejects. @param position of the step that asked for it */
  async begin(position: number, prepare: Prepare): Promise<void> {
    const { residence, failed, end } = this.#parts;
    residence.begin();
    try {
      const prepared = await prepare().catch(failed);
      if (prepared !== undefined) await this.#record(position, prepared);
    } catch (error) {
      end({ type: "stopped", error });
    } finally {
      residence.end();
    }
  }

  async #record(position: number, prepared: Pick<RunStart, "input" | "children">): Promise<void> {
    const { options, journal, recorder, cancellation, ready, progress, state, end } = this.#parts;
    await ready();
    if (progress.isOver) return;
    const { contract, run } = options;
    const start: RunStart = {
      ...prepared,
      number: run.number + 1,
      version: contract.version,
      state: state(),
      consumed: recorder.consumed,
      isCancelled: run.wasCancelled || cancellation.isHeard,
    };
    const entry = continueEntry(journal.takeOrdinal(), position, start);
    // From here on nothing of this run may come behind the entry: it would be taken for the next one's.
    progress.isSuperseded = true;
    journal.append(entry);
    await journal.durable();
    end({ type: "continued" });
  }
}
