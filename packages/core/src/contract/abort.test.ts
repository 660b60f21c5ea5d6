import { describe, expect, it } from "vitest";
import { Abort } from "./abort.ts";

describe("an abort", () => {
  it("calls back in order, once, with the first reason, and at once who comes later", () => {
    const abort = new Abort();
    const calls: unknown[] = [];
    for (const name of ["a", "b"]) abort.whenAborted(() => calls.push(name, abort.reason));
    expect([abort.isAborted, abort.reason]).toEqual([false, undefined]);
    abort.abort("first");
    abort.abort("second");
    abort.whenAborted(() => calls.push("late"));
    expect(calls).toEqual(["a", "first", "b", "first", "late"]);
  });

  it("does not call back who left, also while it is aborted", () => {
    const abort = new Abort();
    const calls: string[] = [];
    const [b, c] = ["b", "c"].map((name) => () => void calls.push(name));
    abort.whenAborted(() => {
      calls.push("a");
      if (c !== undefined) abort.forget(c);
    });
    for (const callback of [b, c]) if (callback !== undefined) abort.whenAborted(callback);
    if (b !== undefined) abort.forget(b);
    abort.abort("over");
    expect(calls).toEqual(["a"]);
  });

  it.each([
    ["before", (abort: Abort) => [abort.signal, abort.abort("over")][0]],
    ["after", (abort: Abort) => [abort.abort("over"), abort.signal][1]],
  ])("has a signal that is aborted, if it is asked for %s", (_when, signalOf) => {
    const signal = signalOf(new Abort()) as AbortSignal;
    expect([signal.aborted, signal.reason]).toEqual([true, "over"]);
  });

  it.each([
    ["reason", (abort: Abort) => abort.reason],
    ["signal", (abort: Abort) => abort.signal.reason as unknown],
    ["callback", (abort: Abort) => reasonsTold(abort)[0]],
  ])("makes a reason only when somebody asks for its %s, and once", (_what, ask) => {
    const abort = new Abort();
    let made = 0;
    abort.abortFor(() => `made ${(made += 1)}`);
    abort.abortFor(() => "another");
    abort.abort("another");
    expect([abort.isAborted, made]).toEqual([true, 0]);
    expect([ask(abort), ask(abort), abort.reason, made]).toEqual(["made 1", "made 1", "made 1", 1]);
  });

  it("tells who waits already the reason at once", () => {
    const [watched, signalled] = [new Abort(), new Abort()];
    const told = reasonsTold(watched);
    const { signal } = signalled;
    for (const abort of [watched, signalled]) abort.abortFor(() => "over");
    expect([told, signal.reason]).toEqual([["over"], "over"]);
  });
});

/** What a callback is told. */
function reasonsTold(abort: Abort): readonly unknown[] {
  const told: unknown[] = [];
  abort.whenAborted((reason) => told.push(reason));
  return told;
}
