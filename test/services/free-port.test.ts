import { createServer } from "node:net";
import { expect, it } from "vitest";
import { freePort } from "./free-port.ts";

const ANY_COUNT = 50;

it("ports for programs are each another one, and below those that connections get by default", async () => {
  const ports = await Promise.all(Array.from({ length: ANY_COUNT }, () => freePort()));
  expect(new Set(ports).size).toBe(ANY_COUNT);
  expect(Math.max(...ports)).toBeLessThan(32_768);
});

it("a port at which somebody listens is passed over", async () => {
  const first = await freePort();
  const taken = createServer();
  // Whoever else has it: it is taken.
  await new Promise<void>((resolve) =>
    taken.once("error", () => resolve()).listen(first + 1, "127.0.0.1", resolve),
  );
  try {
    const second = await freePort();
    expect(second).not.toBe(first);
    expect(second).not.toBe(first + 1);
  } finally {
    taken.close();
  }
});
