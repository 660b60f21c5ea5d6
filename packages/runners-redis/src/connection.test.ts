import { adapterServices } from "@holdfast/testing";
import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { fakeRedis, fakeSentinel, silentServer } from "../../../test/services/fake-redis.ts";
import { freePort } from "../../../test/services/free-port.ts";
import { newConnection } from "./connection.ts";
import { checkOptions } from "./options.ts";

it("an error of a socket that told of one before ends no process", async () => {
  const settings = checkOptions({ url: `redis://127.0.0.1:${await freePort()}` });
  const redis = newConnection(settings, 600, adapterServices().random) as Redis;
  onTestFinished(() => redis.disconnect());
  const closed = new Promise<void>((resolve) => redis.once("close", resolve));
  redis.connect().catch(() => undefined);
  await closed;
  // It throws where nobody listens.
  expect(redis.stream.emit("error", new Error("SSL alert number 50"))).toBe(true);
});

it("a client's Sentinel that takes connections and says nothing is passed over", async () => {
  const ports = [await silentServer(), await fakeSentinel(await fakeRedis())];
  const sentinels = ports.map((port) => ({ host: "127.0.0.1", port }));
  const client = new Redis({ sentinels, name: "main", lazyConnect: true });
  const redis = newConnection(checkOptions({ client }), 600, adapterServices().random) as Redis;
  onTestFinished(() => redis.disconnect());
  redis.on("error", () => undefined);
  const connected = new Promise<void>((resolve) => redis.once("connect", resolve));
  redis.connect().catch(() => undefined);
  await connected;
});
