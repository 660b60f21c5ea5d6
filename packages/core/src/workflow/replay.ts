// Replay: where the code is in its journal: which step it asks for next, and which recorded ones it has not asked for.
//
// Hands out no results (delivery-queue.ts), and stops nothing: who asks is told that the code has diverged.

import type { StepKind } from "../data/journal-entry.ts";
import { NonDeterminismError, type ShownStep } from "../errors/workflow.ts";
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

/** So many steps before and after are shown of the journal. */
const SHOWN = 3;

export class Replay {
  readonly #options: ReplayOptions;
  /** Recorded steps that the code has not asked for yet; no patches, which it need not ask for any more. Null: none are recorded. */
  readonly #unasked: Set<number> | null;
  #position = 0;

  constructor(options: ReplayOptions) {
    this.#options = options;
    const asked = [...options.journal.steps].filter(({ kind }) => kind !== "patch");
    this.#unasked = asked.length === 0 ? null : new Set(asked.map(({ position }) => position));
  }

  /** The position of the step that is asked for next. */
  get position(): number {
    return this.#position;
  }

  /** The step that is asked for next, as it is recorded. Patches that the code does not ask for any more are passed over. */
  get next(): Asked {
    const { journal } = this.#options;
    let position = this.#position;
    while (journal.step(position)?.kind === "patch") position += 1;
    return { position, step: journal.step(position) };
  }

  /** Whether the code has asked for everything that is recorded. */
  get isOver(): boolean {
    return this.#unasked === null || this.#unasked.size === 0;
  }

  /** The next step. An error: the journal has another one there, and the code has not moved on. */
  ask(kind: StepKind, name: string): Asked | NonDeterminismError {
    // The code does not ask for a patch any more, once no execution is left that began without it.
    const { position, step } = this.next;
    if (step !== undefined && (step.kind !== kind || step.name !== name)) {
      return this.#divergence(position, describeStep(step.kind, step.name), describeStep(kind, name));
    }
    this.#position = position + 1;
    this.#unasked?.delete(position);
    return { position, step };
  }

  /** Whether the patch `id` is recorded here: then it has been passed. Null: nothing is recorded from here on. */
  askForPatch(id: string): boolean | null {
    const { journal } = this.#options;
    let position = this.#position;
    for (let step = journal.step(position); step?.kind === "patch"; step = journal.step((position += 1))) {
      if (step.name !== id) continue;
      this.#position = position + 1;
      return true;
    }
    return this.isOver ? null : false;
  }

  /** The error of code that does not ask for the first of the recorded steps that are left. */
  unaskedStep(): NonDeterminismError {
    const position = [...(this.#unasked ?? [])].reduce((first, each) => Math.min(first, each));
    const step = this.#options.journal.step(position);
    const recorded = step === undefined ? "another step" : describeStep(step.kind, step.name);
    return this.#divergence(position, recorded, "no step there");
  }

  #divergence(position: number, recorded: string, asked: string): NonDeterminismError {
    const { workflow, executionId, journal } = this.#options;
    const around: ShownStep[] = [];
    for (let at = Math.max(0, position - SHOWN); at <= position + SHOWN; at += 1) {
      const step = journal.step(at);
      if (step !== undefined) around.push({ position: at, step: describeStep(step.kind, step.name) });
    }
    return new NonDeterminismError({ workflow, executionId, position, recorded, asked, journal: around });
  }
}

function describeStep(kind: StepKind, name: string): string {
  return `${kind} "${name}"`;
}
