import { expect, it, onTestFinished } from "vitest";
import { freePort } from "../../../test/services/free-port.ts";
import { connections } from "./connections.ts";
import { redisSettings } from "./options.ts";

it("an error of a socket that told of one before ends no process", async () => {
  const redis = connections(redisSettings({ url: `redis://127.0.0.1:${await freePort()}` }))(null);
  onTestFinished(() => redis.disconnect());
  const closed = new Promise<void>((resolve) => redis.once("close", resolve));
  redis.connect().catch(() => undefined);
  await closed;
  // It throws where nobody listens.
  expect(redis.stream.emit("error", new Error("SSL alert number 50"))).toBe(true);
});
