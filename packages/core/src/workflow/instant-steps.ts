// InstantSteps: steps whose result is there as soon as the code asks for it: values, notes, the state, patches.
//
//   N1  Such a step is recorded in the turn in which it is asked for, before anything that follows from it. So what is
//       recorded further on without it followed another step: the code has diverged.

import { decodePayload, encodeBoundedPayload, encodePayload } from "../contract/payload.ts";
import type { JournalEntry, StepKind } from "../data/journal-entry.ts";
import type { DefinitionError } from "../errors/config.ts";
import type { NonDeterminismError } from "../errors/workflow.ts";
import type { Progress } from "./progress.ts";
import type { Asked, Replay } from "./replay.ts";

export interface InstantStepsOptions {
  readonly replay: Replay;
  readonly maxPayloadBytes: number;
  /** The encoded state that is recorded, or null. */
  readonly state: string | null;
  readonly progress: Readonly<Progress>;
  /** The next step's position, and what is recorded of it. @throws where the execution stopped for it */
  readonly ask: (kind: StepKind, name: string) => Asked;
  readonly append: (entry: Omit<JournalEntry, "ordinal">) => void;
  /** Stops the execution. Returns the error. */
  readonly diverge: (error: NonDeterminismError) => NonDeterminismError;
  /** Stops the execution: another release recorded what this one cannot read. Returns the error. */
  readonly unreadable: (cause: unknown) => DefinitionError;
}

export class InstantSteps {
  readonly #options: InstantStepsOptions;
  #state: string | null;

  constructor(options: InstantStepsOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  /** The encoded state that queries read: the newest, also while an older one is replayed. */
  get state(): string | null {
    return this.#state;
  }

  /** A value taken once, at once, and the same in every replay. */
  value<Value>(name: string, take: () => Value): Value {
    const { maxPayloadBytes, unreadable } = this.#options;
    const text = this.#take("value", name, () => encodeBoundedPayload(take(), name, maxPayloadBytes));
    try {
      return decodePayload(text, name) as Value;
    } catch (cause) {
      throw unreadable(cause);
    }
  }

  /** Something that the journal notes at this place. @param text is kept as it is */
  note(kind: "compensate" | "attributes", name: string, text: string): void {
    this.#take(kind, name, () => text);
  }

  /** What queries read from now on. */
  setState(value: unknown): void {
    const text = encodeBoundedPayload(value, "The state", this.#options.maxPayloadBytes);
    this.#take("state", "setState", () => (this.#state = text));
  }

  /** Whether the code behind the patch `id` is to run: in executions that did not pass here before it was there, it is not. */
  patched(id: string): boolean {
    const recorded = this.#options.replay.askForPatch(id);
    if (recorded !== null) return recorded;
    this.#take("patch", id, () => encodePayload(true, id));
    return true;
  }

  #take(kind: StepKind, name: string, take: () => string): string {
    const { ask, append, diverge, progress, replay } = this.#options;
    const { position, step } = ask(kind, name);
    if (step?.outcome?.event.type === "completed") return step.outcome.event.value;
    if (!replay.isOver) throw diverge(replay.unaskedStep());
    const value = take();
    if (!progress.isOver) append({ position, kind, name, event: { type: "completed", value } });
    return value;
  }
}
