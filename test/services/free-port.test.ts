import { createServer, type AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { freePort } from "./free-port.ts";

const ANY_COUNT = 50;

it("ports for programs are each another one, and none that the system gives to a connection", async () => {
  const ports = await Promise.all(Array.from({ length: ANY_COUNT }, () => freePort()));
  const given = createServer();
  await new Promise<void>((resolve) => given.listen(0, "127.0.0.1", resolve));
  const systems = (given.address() as AddressInfo).port;
  given.close();
  expect(new Set(ports).size).toBe(ANY_COUNT);
  expect(Math.max(...ports)).toBeLessThan(systems);
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
