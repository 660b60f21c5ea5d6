// Where the body of an activity runs. It must ask nothing of its execution: a replay, which does not run it, would not ask.

import { AsyncLocalStorage } from "node:async_hooks";
import type { Abort } from "../contract/abort.ts";
import { DefinitionError } from "../errors/config.ts";
import type { StepScope } from "./step.ts";

/** What stops the execution, and nothing that holds more: a socket that a body opens keeps it for as long as it lives. */
const BODY_OF = new AsyncLocalStorage<Abort | undefined>();

type Of = Pick<StepScope, "stopped">;

export function runBody<Argument>(
  { stopped }: Of,
  body: (argument: Argument) => unknown,
  argument: Argument,
): Promise<unknown> {
  // What it returns may begin only when it is awaited.
  return BODY_OF.run(stopped, () => Promise.resolve(body(argument)));
}

/** Calls back what is no activity's, wherever it is called from. */
export function outsideBody(callback: () => void): void {
  BODY_OF.run(undefined, callback);
}

/** Why this execution cannot be asked for `what` now; null: it can. */
export function misplaced({ stopped }: Of, what: string): DefinitionError | null {
  if (BODY_OF.getStore() !== stopped) return null;
  return new DefinitionError(
    `${what} was asked for inside of an activity. A replay does not run activities again, and would not ask for it: ` +
      "ask in the code of execute, before the activity or after it, and give the activity what it needs.",
  );
}
