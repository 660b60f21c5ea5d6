import { describe, expect, it } from "vitest";
import { sampleRequest } from "../../test/sample-request.ts";
import { KeysBeingStored } from "./keys-being-stored.ts";

describe("the keys that are being stored", () => {
  const paid = sampleRequest({ persisted: true, deduplicationKey: "a" });

  it("have a key until the last request of it is stored, or is not", async () => {
    const keys = new KeysBeingStored();
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const stored = [first, second].map(({ promise }) => keys.until(paid, () => promise));
    first.reject(new Error("lost"));
    await expect(stored[0]).rejects.toThrow("lost");
    expect(keys.has(paid)).toBe(true);
    second.resolve();
    await stored[1];
    expect(keys.has(paid)).toBe(false);
  });

  it("have none of another rpc, or of another entity", () => {
    const keys = new KeysBeingStored();
    void keys.until(paid, () => new Promise(() => undefined));
    expect(keys.has({ ...paid, tag: "refund" })).toBe(false);
    expect(keys.has({ ...paid, address: { ...paid.address, entityId: "another" } })).toBe(false);
  });
});
