import { describe, expect, it } from "vitest";
import type { Fence } from "../data/epoch.ts";
import { ByClaim } from "./by-claim.ts";

describe("what is kept by claim", () => {
  const [claim, next]: readonly Fence[] = [1, 2].map((epoch) => ({ shardId: "default:1" as const, epoch }));

  it("is known under its claim alone, until it is deleted", () => {
    const kept = new ByClaim<number>();
    kept.set(claim as Fence, "a", 1);
    kept.set(claim as Fence, "b", 2);
    kept.set(claim as Fence, "a", 3);
    expect(kept.get(claim as Fence, "a")).toBe(3);
    expect(kept.keys(claim as Fence)).toEqual(["a", "b"]);
    expect(kept.get(next as Fence, "a")).toBeUndefined();
    expect(kept.keys(next as Fence)).toEqual([]);
    kept.delete(claim as Fence, "a");
    kept.delete(next as Fence, "b");
    expect(kept.keys(claim as Fence)).toEqual(["b"]);
  });
});
