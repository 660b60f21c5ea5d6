import { describe, expect, it } from "vitest";
import { Claims, claimText } from "./claims.ts";

const shardId = "default:1";

describe("the latest claim of a shard", () => {
  it("has the highest epoch, which the next claim has to pass (C2)", () => {
    const claims = new Claims();
    expect(claims.epochOf(shardId)).toBe(0);
    claims.add(shardId, { epoch: 5, id: "later" });
    claims.add(shardId, { epoch: 3, id: "earlier" });
    expect(claims.epochOf(shardId)).toBe(5);
  });
});

describe("the proof of a fence", () => {
  it("names the claim and the connection on which the write goes", () => {
    const claims = new Claims();
    claims.add(shardId, { epoch: 3, id: "claim" });
    expect(claims.proofOf({ shardId, epoch: 3 }, 7)).toEqual([shardId, "3", claimText("claim", 7)]);
  });

  it("is none for a claim that this session has outdone, whichever answer came first (C1)", () => {
    const claims = new Claims();
    claims.add(shardId, { epoch: 5, id: "later" });
    claims.add(shardId, { epoch: 3, id: "earlier" });
    expect(claims.proofOf({ shardId, epoch: 3 }, 1)).toEqual([shardId, "3", "void"]);
    expect(claims.proofOf({ shardId, epoch: 5 }, 1)).toEqual([shardId, "5", claimText("later", 1)]);
  });

  it("is the epoch alone where another session made the claim", () => {
    const claims = new Claims();
    expect(claims.proofOf({ shardId, epoch: 4 }, 1)).toEqual([shardId, "4", ""]);
    claims.add(shardId, { epoch: 3, id: "claim" });
    expect(claims.proofOf({ shardId, epoch: 4 }, 1)).toEqual([shardId, "4", ""]);
  });

  it("is empty for who writes on nobody's behalf", () => {
    expect(new Claims().proofOf(null, 1)).toEqual(["", "", ""]);
  });
});
