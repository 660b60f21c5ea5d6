import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { LookUps } from "./look-ups.ts";

describe("look-ups for full mailboxes", () => {
  it.each([
    ["are not made behind one of which storage was silent", 1_000, ["unmade"]],
    ["are made behind one that failed at once", 999, ["made"]],
  ])("%s", async (_what, failsAfterMs, expected) => {
    const clock = new VirtualClock();
    const lookUps = new LookUps(clock);
    const failures: (() => void)[] = [];
    const failing = (): Promise<void> =>
      lookUps
        .observed(() => new Promise((_resolve, reject) => failures.push(() => reject(new Error("lost")))))
        .catch(() => undefined);
    const said: string[] = [];
    const first = Array.from({ length: 4 }, () => lookUps.inTurn(failing, () => undefined));
    const behind = lookUps.inTurn(
      async () => void said.push("made"),
      () => void said.push("unmade"),
    );
    await clock.settle();
    expect(failures).toHaveLength(4);
    await clock.advance(failsAfterMs);
    for (const fail of failures) fail();
    await Promise.all([...first, behind]);
    expect(said).toEqual(expected);
  });
});
