import { describe, expect, it } from "vitest";
import { WorkflowCancelledError } from "../errors/workflow.ts";
import { Cancellation, OpenStep, type StepRole } from "./cancellation.ts";

const error = new WorkflowCancelledError({ workflow: "W", executionId: "1", reason: "enough" });

function opened(
  cancellation: Cancellation,
  role: StepRole,
): { step: OpenStep; rejections: Error[]; cuts: Error[] } {
  const rejections: Error[] = [];
  const cuts: Error[] = [];
  const step = new OpenStep({ position: 0, kind: "run", name: "x" }, role, (reason) =>
    rejections.push(reason),
  );
  step.whenCut((reason) => cuts.push(reason as Error));
  cancellation.opened(step);
  return { step, rejections, cuts };
}

describe("a cancellation", () => {
  it("rejects what only waits, and asks work and children to end (C2)", () => {
    const cancellation = new Cancellation();
    const wait = opened(cancellation, "wait");
    const work = opened(cancellation, "work");
    const child = opened(cancellation, "child");
    cancellation.deliver(error);
    cancellation.deliver(error);
    expect([wait.rejections, work.rejections, child.rejections]).toEqual([[error], [], []]);
    expect([wait.cuts, work.cuts, child.cuts]).toEqual([[error], [error], [error]]);
    const late: Error[] = [];
    work.step.whenCut((reason) => late.push(reason as Error));
    expect(late, "who asks later is told at once").toEqual([error]);
  });

  it("is heard of once: from a wait (C3)", () => {
    const cancellation = new Cancellation();
    opened(cancellation, "wait");
    expect(cancellation.takeUnheard()).toBeNull();
    cancellation.deliver(error);
    expect(cancellation.takeUnheard()).toBeNull();
  });

  it("is heard of from an old wait, too, where nothing is at work (C3)", () => {
    const cancellation = new Cancellation();
    opened(cancellation, "wait");
    const { step } = opened(cancellation, "work");
    cancellation.closed(step, null);
    cancellation.deliver(error);
    expect([cancellation.isHeard, cancellation.isTold]).toEqual([true, true]);
  });

  it("that its code did not hear of is not told to what compensates it (C4)", async () => {
    const cancellation = new Cancellation();
    const { step } = opened(cancellation, "work");
    cancellation.deliver(error);
    const failure = new Error("its own");
    cancellation.closed(step, failure);
    await cancellation.windDown(failure);
    expect(cancellation.takeUnheard()).toBeNull();
  });

  it("is heard of from a wait beside work that is as new as the last result (C3)", () => {
    const cancellation = new Cancellation();
    opened(cancellation, "wait");
    const { step } = opened(cancellation, "work");
    cancellation.deliver(error);
    expect([cancellation.isHeard, cancellation.isTold]).toEqual([true, true]);
    cancellation.closed(step, null);
    expect(cancellation.takeUnheard()).toBeNull();
  });

  it("is heard of from an older one if the code asks for something at once, and else from the next step (C3)", async () => {
    for (const [asksAtOnce, unheard] of [
      [true, null],
      [false, error],
    ] as const) {
      const cancellation = new Cancellation();
      const before = opened(cancellation, "wait");
      opened(cancellation, "wait");
      cancellation.closed(before.step, null);
      const { step } = opened(cancellation, "work");
      cancellation.deliver(error);
      if (asksAtOnce) cancellation.asks();
      expect([cancellation.isHeard, cancellation.isTold]).toEqual([asksAtOnce, asksAtOnce]);
      cancellation.closed(step, null);
      cancellation.asks();
      expect(cancellation.takeUnheard()).toBe(unheard);
      expect(cancellation.takeUnheard()).toBeNull();
      expect(cancellation.isTold, "in one go with that step the code does not know yet").toBe(asksAtOnce);
      await Promise.resolve();
      expect(cancellation.isTold).toBe(true);
    }
  });

  it("is heard of once: from work that fails with it, or else from the next step (C3)", () => {
    for (const [failure, unheard] of [
      [error, null],
      [new Error("its own"), error],
      [null, error],
    ] as const) {
      const cancellation = new Cancellation();
      const { step } = opened(cancellation, "work");
      cancellation.deliver(error);
      cancellation.closed(step, failure);
      expect(cancellation.takeUnheard()).toBe(unheard);
      expect(cancellation.takeUnheard()).toBeNull();
    }
  });

  it("aborts the code's signal, whenever that is asked for", () => {
    const cancellation = new Cancellation();
    const before = cancellation.signal;
    expect(before.aborted).toBe(false);
    cancellation.deliver(error);
    expect([before.aborted, before.reason]).toEqual([true, error]);
    const other = new Cancellation();
    other.deliver(error);
    expect(other.signal.reason).toBe(error);
  });
});

describe("the end of the code", () => {
  it("silences what is open, asks it to end, and waits for work alone (C4)", async () => {
    const cancellation = new Cancellation();
    const wait = opened(cancellation, "wait");
    opened(cancellation, "child");
    const work = opened(cancellation, "work");
    let isOver = false;
    const ending = cancellation.windDown(new Error("failed")).then(() => (isOver = true));
    await Promise.resolve();
    expect([isOver, wait.rejections, work.step.isSilenced, work.cuts.length]).toEqual([false, [], true, 1]);
    cancellation.closed(work.step, null);
    await ending;
    expect(isOver).toBe(true);
    const compensating = opened(cancellation, "wait");
    cancellation.deliver(error);
    expect([compensating.rejections, cancellation.takeUnheard(), cancellation.error]).toEqual([
      [],
      null,
      null,
    ]);
  });
});
