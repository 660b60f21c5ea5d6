import { describe, expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { rpc } from "../contract/rpc.ts";
import type { EntityBehavior } from "./behavior.ts";
import { BriefRpcs } from "./brief-rpcs.ts";

const BEHAVIOR = { handlers: {} } as unknown as EntityBehavior;
const RPC = rpc<void, void>({ persisted: true });

/** How it stands once `work`, which a handler awaits, is over. */
async function after(work: () => Promise<unknown>, brief = new BriefRpcs()): Promise<boolean> {
  const turn = brief.begins();
  await work();
  brief.ended(BEHAVIOR, RPC, turn, false);
  return brief.has(BEHAVIOR, RPC);
}

const outside = (): Promise<void> => new SystemClock().nextTurn();

describe("an rpc", () => {
  it("is brief once a handler of it ended in the turn in which it began", async () => {
    expect(new BriefRpcs().has(BEHAVIOR, RPC)).toBe(false);
    expect(await after(async () => undefined)).toBe(true);
    expect(await after(async () => await Promise.all([1, 2].map((each) => Promise.resolve(each))))).toBe(
      true,
    );
  });

  it("is not where its handler waits for something outside, however many others begin", async () => {
    const brief = new BriefRpcs();
    await after(async () => undefined, brief);
    const waiting = after(outside, brief);
    await after(async () => undefined, brief);
    expect(await waiting).toBe(false);
  });

  it("is not while its last handler opened a transaction", () => {
    const brief = new BriefRpcs();
    brief.ended(BEHAVIOR, RPC, brief.begins(), false);
    expect(brief.has(BEHAVIOR, RPC)).toBe(true);
    brief.ended(BEHAVIOR, RPC, brief.begins(), true);
    expect(brief.has(BEHAVIOR, RPC)).toBe(false);
  });
});
