import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hashOfName, murmurHash3, murmurHash3OfBlock, shardIdFor, shardNumberOf } from "./shard-hash.ts";

describe("murmurHash3", () => {
  it.each([
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["a", 0x9747b28c, 0x7fa09ea6],
    ["ab", 0x9747b28c, 0x74875592],
    ["abc", 0x9747b28c, 0xc84a62dd],
    ["abcd", 0x9747b28c, 0xf0478627],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
    ["ππππππππ", 0x9747b28c, 0xd58063c1],
  ])("gives the reference's hash of %j under seed %i", (text, seed, hash) => {
    expect(hashOfName(text, seed)).toBe(hash);
  });

  it.each([
    [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
    [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
    [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
    [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
    [[0x21, 0x43], 0, 0xa0f7b07a],
    [[0x21], 0, 0x72661cf4],
    [[0, 0, 0, 0], 0, 0x2362f9de],
    [[0, 0, 0], 0, 0x85f0b427],
    [[0, 0], 0, 0x30f4c306],
    [[0], 0, 0x514e28b7],
  ])("gives the reference's hash of the bytes %j under seed %i", (bytes, seed, hash) => {
    expect(murmurHash3(Uint8Array.from(bytes), seed)).toBe(hash);
  });

  it("has the verification value of the reference", () => {
    // SMHasher's VerificationTest: the hashes of {}, {0}, {0, 1}, ... under the seeds 256, 255, ..., hashed again.
    const hashes = new DataView(new ArrayBuffer(1024));
    for (let length = 0; length < 256; length += 1) {
      const hash = murmurHash3(
        Uint8Array.from({ length }, (_, index) => index),
        256 - length,
      );
      hashes.setUint32(length * 4, hash, true);
    }
    expect(murmurHash3(new Uint8Array(hashes.buffer), 0)).toBe(0xb0f57ee3);
  });

  it("hashes a block like its four bytes, lowest first", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (block, seed) => {
        const bytes = Uint8Array.of(block, block >>> 8, block >>> 16, block >>> 24);
        expect(murmurHash3OfBlock(block, seed)).toBe(murmurHash3(bytes, seed));
      }),
    );
  });
});

describe("the shard of an entity", () => {
  // Frozen: a change of these numbers would orphan what is stored.
  it.each([
    ["", 300, 0],
    ["counter-1", 300, 103],
    ["Zürich", 300, 1],
  ])("stays what it always was for %j of %i shards", (entityId, shardsPerGroup, number) => {
    expect(shardNumberOf(entityId, shardsPerGroup)).toBe(number);
  });

  it("is a number from 0 up to the shards of a group, for any id", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.integer({ min: 1, max: 4096 }),
        (entityId, shardsPerGroup) => {
          const number = shardNumberOf(entityId, shardsPerGroup);
          expect(Number.isInteger(number) && number >= 0 && number < shardsPerGroup).toBe(true);
        },
      ),
    );
  });

  it("names its group", () => {
    expect(shardIdFor("eu:west", "", 300)).toBe("eu:west:0");
  });

  it("spreads numbered ids evenly", () => {
    const counts = new Uint32Array(10);
    for (let id = 0; id < 10_000; id += 1) counts[shardNumberOf(`order-${id}`, 10)]! += 1;
    // 1000 each is expected, with a standard deviation of 30.
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });
});
