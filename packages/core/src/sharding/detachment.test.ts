import { describe, expect, it } from "vitest";
import { ATTACH_AFTER_MS, DETACH_AFTER_MS, Detachment } from "./detachment.ts";

describe("Detachment", () => {
  it("detaches only after failing for the whole window", () => {
    const detachment = new Detachment();
    expect(detachment.observe(false, 0)).toBeNull();
    expect(detachment.observe(false, DETACH_AFTER_MS - 1)).toBeNull();
    expect(detachment.observe(false, DETACH_AFTER_MS)).toBe("detach");
    expect(detachment.isDetached).toBe(true);
  });

  it("counts anew after each success", () => {
    const detachment = new Detachment();
    detachment.observe(false, 0);
    detachment.observe(true, DETACH_AFTER_MS - 1);
    expect(detachment.observe(false, DETACH_AFTER_MS)).toBeNull();
    expect(detachment.observe(false, 2 * DETACH_AFTER_MS - 1)).toBeNull();
    expect(detachment.observe(false, 2 * DETACH_AFTER_MS)).toBe("detach");
  });

  it("attaches only after a healthy stretch, and says each once", () => {
    const detachment = new Detachment();
    detachment.observe(false, 0);
    detachment.observe(false, DETACH_AFTER_MS);
    expect(detachment.observe(false, DETACH_AFTER_MS + 1)).toBeNull();
    expect(detachment.observe(true, 10_000)).toBeNull();
    expect(detachment.observe(true, 10_000 + ATTACH_AFTER_MS)).toBe("attach");
    expect(detachment.observe(true, 10_001 + ATTACH_AFTER_MS)).toBeNull();
  });
});
