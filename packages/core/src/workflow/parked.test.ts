import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { SystemClock } from "../clock/system-clock.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { encodeError } from "../contract/error-codec.ts";
import type { EncodedError } from "../data/encoded-error.ts";
import type { Fence } from "../data/epoch.ts";
import { Parked } from "./parked.ts";

function newError(): EncodedError {
  return encodeError(new Error("other code"), { exposeStacks: false });
}

describe("parked executions", () => {
  const fenceOf = (epoch: number): Fence => ({ shardId: "default:1", epoch });

  it("are known under the claim under which they were parked, until they run", () => {
    const parked = new Parked(new VirtualClock(), new SeededRandom(1));
    const [fence, next, error] = [fenceOf(1), fenceOf(2), newError()];
    parked.park("a", fence, { error, isTold: true });
    parked.park("b", fence, { error, isTold: false });
    expect(parked.under(fence)).toEqual(["a", "b"]);
    expect(parked.under(next)).toEqual([]);
    expect(parked.errorOf("a", fence)).toBe(error);
    expect(parked.errorOf("a", next)).toBeNull();
    expect(parked.failureOf("a", fence)).toBe(error);
    expect(parked.failureOf("b", fence)).toBeNull();
    parked.leave("a", fence);
    expect(parked.under(fence)).toEqual(["b"]);
  });

  it("are let go with the claim: they may end elsewhere, of which nobody tells", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const parked = new Parked(new VirtualClock(), new SeededRandom(1));
    const kept = ((): WeakRef<EncodedError> => {
      const error = newError();
      parked.park("a", fenceOf(1), { error, isTold: true });
      return new WeakRef(error);
    })();
    // A WeakRef holds what it names until the end of the turn.
    await new SystemClock().nextTurn();
    collectGarbage();
    expect(kept.deref()).toBeUndefined();
  });
});
