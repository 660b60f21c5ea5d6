import { AdapterNotInstalledError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { importPeer } from "./open-postgres.ts";

describe("a client library", () => {
  it("that is not installed is named, with how to install it", async () => {
    const missing = "no-such-client-library";
    const importing = importPeer(() => import(/* @vite-ignore */ missing), missing, "postgres");
    await expect(importing).rejects.toBeInstanceOf(AdapterNotInstalledError);
    await expect(importing).rejects.toThrow(`npm install ${missing}`);
  });

  it("that fails while it is loaded fails with its own error", async () => {
    const broken = new Error("its own");
    await expect(importPeer(() => Promise.reject(broken), "pg", "postgres")).rejects.toBe(broken);
  });
});
