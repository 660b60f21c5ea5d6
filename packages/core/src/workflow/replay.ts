// Replay: where the code is in its journal: which step it asks for next, and which recorded ones it has not asked for.
//
// Hands out no results (delivery-queue.ts), and stops nothing: who asks is told that the code has diverged.

import type { StepKind } from "../data/journal-entry.ts";
import { NonDeterminismError } from "../errors/workflow.ts";
import type { Journal, RecordedStep } from "./journal.ts";

/** A step that the code asked for, and what is recorded of it. */
export interface Asked {
  readonly position: number;
  readonly step: RecordedStep | undefined;
}

export interface ReplayOptions {
  readonly workflow: string;
  readonly executionId: string;
  readonly journal: Journal;
}

export class Replay {
  readonly #options: ReplayOptions;
  /** Recorded steps that the code has not asked for yet. */
  readonly #unasked: Set<number>;
  #position = 0;
  /** Resolves at the first `catchUp`. */
  readonly caughtUp: Promise<void>;
  #catchUp: () => void = () => undefined;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#unasked = new Set([...options.journal.steps].map((step) => step.position));
    this.caughtUp = new Promise((resolve) => (this.#catchUp = resolve));
  }

  /** The position of the step that is asked for next. */
  get position(): number {
    return this.#position;
  }

  /** Whether the code has asked for everything that is recorded. */
  get isOver(): boolean {
    return this.#unasked.size === 0;
  }

  /** What waits for the end of the replay goes on. */
  catchUp(): void {
    this.#catchUp();
  }

  /** The next step. An error: the journal has another one there, and the code has not moved on. */
  ask(kind: StepKind, name: string): Asked | NonDeterminismError {
    const position = this.#position;
    const step = this.#options.journal.step(position);
    if (step !== undefined && (step.kind !== kind || step.name !== name)) {
      return this.#divergence(position, describeStep(step.kind, step.name), describeStep(kind, name));
    }
    this.#position += 1;
    this.#unasked.delete(position);
    return { position, step };
  }

  /** The error of code that does not ask for the first of the recorded steps that are left. */
  unaskedStep(): NonDeterminismError {
    const position = Math.min(...this.#unasked);
    const step = this.#options.journal.step(position);
    const recorded = step === undefined ? "another step" : describeStep(step.kind, step.name);
    return this.#divergence(position, recorded, "no step there");
  }

  #divergence(position: number, recorded: string, asked: string): NonDeterminismError {
    const { workflow, executionId } = this.#options;
    return new NonDeterminismError({ workflow, executionId, position, recorded, asked });
  }
}

function describeStep(kind: StepKind, name: string): string {
  return `${kind} "${name}"`;
}
