import { describe, expect, it } from "vitest";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { withinLimits } from "./call-limits.ts";

describe("a look-up within limits", () => {
  it("tells what it began that it is over, without an error made for that", async () => {
    const signals: AbortSignal[] = [];
    const read = async (left: AbortSignal): Promise<string> => {
      signals.push(left);
      return "found";
    };
    await expect(withinLimits(new VirtualClock(), "Order/a", {}, read)).resolves.toBe("found");
    expect(signals.map(({ aborted, reason }) => ({ aborted, reason }))).toEqual([
      { aborted: true, reason: null },
    ]);
  });
});
