import { describe, expect, it } from "vitest";
import { ConfigError } from "./config.ts";
import { InterruptedError, TimeoutError } from "./routing.ts";
import { DeadLetteredError, PersistenceError } from "./storage.ts";
import {
  ActivityTimeoutError,
  SignalTimeoutError,
  WorkflowCancelledError,
  WorkflowFailedError,
} from "./workflow.ts";

const failed = (workflow: string, reason: string, undone: readonly string[] = []): string => {
  const failedCompensations = undone.map((each) => ({ name: "refund", reason: each }));
  return new WorkflowFailedError({ workflow, executionId: "1", reason, failedCompensations }).message;
};

describe("the message of an error says what happened and what to do", () => {
  it.each([
    [
      new TimeoutError({ what: "Desk/a.ask", timeoutMs: 5 }),
      "Desk/a.ask gave no reply within 5 ms. It may have run, in part or whole: repeat it only if that is harmless, or give it a longer timeout.",
    ],
    [
      new TimeoutError({ what: "Desk/a.ask", timeoutMs: 5, hasKey: true }),
      "Desk/a.ask gave no reply within 5 ms. It may have run, in part or whole: repeat it with the same key, or else only if that is harmless, or give it a longer timeout.",
    ],
    [
      new TimeoutError({ what: "Desk/a.ask", timeoutMs: 5, isRead: true }),
      "Desk/a.ask gave no reply within 5 ms. It changes nothing: repeat it, or give it a longer timeout.",
    ],
    [
      new TimeoutError({ what: "Desk/a.ask", timeoutMs: 5, mayHaveRun: false }),
      "Desk/a.ask gave no reply within 5 ms. It did not run: repeat it, or give it a longer timeout.",
    ],
    [
      new InterruptedError({ what: "Desk/a.ask", why: "its caller left" }),
      "Desk/a.ask was interrupted: its caller left. It may have run in part: repeat it only if that is harmless.",
    ],
    [
      new SignalTimeoutError({ signal: "approved", timeoutMs: 5, executionId: "1" }),
      'No signal "approved" came to the execution 1 within 5 ms. Send it in time, wait longer, or catch this error and go on without it.',
    ],
    [
      new ActivityTimeoutError({
        activity: "charge",
        attempt: 2,
        timeoutMs: 5,
        kind: "timeout",
        executionId: "1",
      }),
      "Attempt 2 of activity charge of the execution 1 did not end within 5 ms. Raise its timeout, or end sooner.",
    ],
    [
      new ActivityTimeoutError({ activity: "charge", attempt: 2, timeoutMs: 5, kind: "heartbeat" }),
      "Attempt 2 of activity charge sent no heartbeat for 5 ms. Call ctx.heartbeat() more often, or raise its heartbeatTimeout.",
    ],
    [
      new DeadLetteredError({ requestId: "r", what: "Desk/a.ask", attempts: 3, reason: "retry me" }),
      "Desk/a.ask failed in 3 attempts and is a dead letter now (request r). Last: retry me. Requeue or drop it with cluster.deadLetters.",
    ],
    [
      new PersistenceError({ operation: "saveReply", outcome: "not-written", detail: "the disk is full" }),
      "The storage failed in saveReply: the disk is full. Nothing was written. Try again later.",
    ],
    [
      new PersistenceError({ operation: "saveReply", outcome: "unknown", detail: "no answer" }),
      "The storage failed in saveReply: no answer. Whether it was written is not known: repeat it under the same key.",
    ],
    [
      new WorkflowCancelledError({ workflow: "Order", executionId: "1", reason: "Out of stock." }),
      "The execution 1 of Order was cancelled: Out of stock.",
    ],
    [
      new ConfigError({ option: "shardGroups", got: [], takes: "one name or more" }),
      'Option "shardGroups" is an empty array, but it takes one name or more.',
    ],
  ])("%s", (error, message) => {
    expect(error.message).toBe(message);
  });

  it("once, where an execution failed because its child did", () => {
    const child = failed("Child", "out of stock");
    expect(child).toBe(
      "The execution 1 of Child failed: out of stock. Mend its cause, then resume() it, or fork() it where its compensations have run.",
    );
    expect(failed("Parent", child)).toBe(
      "The execution 1 of Parent failed: The execution 1 of Child failed: out of stock. Mend its cause, then resume() it, or fork() it where its compensations have run.",
    );
  });

  it("with one full stop after each reason", () => {
    expect(failed("Order", "It is gone.", ["no bank", "No money!"])).toBe(
      "The execution 1 of Order failed: It is gone. " +
        'The compensation "refund" failed, too: no bank. The compensation "refund" failed, too: No money! ' +
        "Mend its cause, then resume() it, or fork() it where its compensations have run.",
    );
  });
});
