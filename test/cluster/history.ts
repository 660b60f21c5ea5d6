// History: what the load asked for and what it was told, in the time of one observer. Kept in memory of the test alone.

import { machineNow } from "./clock.ts";

export type OperationKind =
  | "add"
  | "notify"
  | "schedule"
  | "pass"
  | "write"
  | "read"
  | "say"
  | "count"
  | "keptCount"
  | "transfer";

/** `unknown`: it failed, and may have had its effect. */
export type Outcome = "open" | "ok" | "unknown";

export interface Operation {
  readonly key: string;
  readonly kind: OperationKind;
  readonly entityId: string;
  readonly sender: string;
  readonly number: number | null;
  /** What is written, of a write. */
  readonly input: number | null;
  readonly invokedAt: number;
  completedAt: number | null;
  outcome: Outcome;
  value: unknown;
  error: Error | null;
}

export class History {
  readonly operations: Operation[] = [];

  /** Carries out one operation and notes how it went. Never rejects. Resolves to whether it was answered. */
  async record(
    operation: Pick<Operation, "key" | "kind" | "entityId" | "sender"> &
      Partial<Pick<Operation, "number" | "input">>,
    run: () => Promise<unknown>,
  ): Promise<boolean> {
    const noted: Operation = {
      number: null,
      input: null,
      ...operation,
      invokedAt: machineNow(),
      completedAt: null,
      outcome: "open",
      value: undefined,
      error: null,
    };
    this.operations.push(noted);
    try {
      noted.value = await run();
      noted.outcome = "ok";
    } catch (error) {
      noted.outcome = "unknown";
      noted.error = error instanceof Error ? error : new Error(String(error));
    }
    noted.completedAt = machineNow();
    return noted.outcome === "ok";
  }

  get open(): readonly Operation[] {
    return this.operations.filter(({ outcome }) => outcome === "open");
  }

  get answered(): readonly Operation[] {
    return this.operations.filter(({ outcome }) => outcome === "ok");
  }

  get failed(): readonly Operation[] {
    return this.operations.filter(({ outcome }) => outcome === "unknown");
  }

  /** How long the slowest answer was waited for, in ms. */
  get slowestMs(): number {
    return Math.max(
      0,
      ...this.answered.map(({ invokedAt, completedAt }) => (completedAt ?? invokedAt) - invokedAt),
    );
  }
}
