// BegunSteps: records of the steps at work that they have begun: as the execution leaves, and once they last. Whoever goes on, after a
// crash and on changed code perhaps, is to know of it. That each begins is not recorded at once: it would cost each a write.

import type { Clock, Timer } from "../adapter/clock.ts";
import type { Cancellation } from "./cancellation.ts";
import { BEGUN } from "./journal.ts";
import type { Progress } from "./progress.ts";
import type { Recorder } from "./recorder.ts";

const LASTING_MS = 5_000;

export class BegunSteps {
  readonly #clock: Clock;
  readonly #cancellation: Pick<Cancellation, "open">;
  readonly #recorder: Pick<Recorder, "append">;
  readonly #progress: Readonly<Progress>;
  #timer: Timer | null = null;

  constructor(
    clock: Clock,
    cancellation: Pick<Cancellation, "open">,
    recorder: Pick<Recorder, "append">,
    progress: Readonly<Progress>,
  ) {
    this.#clock = clock;
    this.#cancellation = cancellation;
    this.#recorder = recorder;
    this.#progress = progress;
  }

  /** A step begins to be done. One timer for all that are: most executions are over sooner. */
  watch(): void {
    this.#timer ??= this.#clock.setTimer(LASTING_MS, this.#recordLasting);
  }

  /** Records it of those of which that is not known. */
  record(): void {
    if (this.#progress.isOver || !this.#progress.isCaughtUp) return;
    for (const open of this.#cancellation.open) {
      if (!open.hasBegun || open.isRecorded) continue;
      open.isRecorded = true;
      this.#recorder.append({ ...open.step, event: BEGUN });
    }
  }

  stop(): void {
    this.#timer?.cancel();
  }

  readonly #recordLasting = (): void => {
    this.#timer = null;
    this.record();
    // Some may wait to begin.
    if (this.#cancellation.open.some(({ isRecorded }) => !isRecorded)) this.watch();
  };
}
