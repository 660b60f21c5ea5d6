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

it.each([
  ["of its own", (url: string) => ({ url, sentinel: { name: "main" } })],
  [
    "of a client",
    () => ({
      client: new Redis({
        sentinels: [1, 2, 3, 4].map((port) => ({ port })),
        name: "main",
        lazyConnect: true,
      }),
    }),
  ],
])("all Sentinels %s and the master have their turn within one call", async (_, options) => {
  const url = "redis://one,two,three,four";
  const settings = checkOptions({ ...options(url), commandTimeout: "1500ms" });
  const redis = newConnection(settings, 500, adapterServices().random) as Redis;
  onTestFinished(() => redis.disconnect());
  expect(redis.options).toMatchObject({ connectTimeout: 300, sentinelCommandTimeout: 300 });
});

it("connections are kept alive, also where the client's own are not: one that only listens notices that it is gone", () => {
  const client = new Redis({ keepAlive: 0, lazyConnect: true });
  const redis = newConnection(checkOptions({ client }), 500, adapterServices().random) as Redis;
  onTestFinished(() => redis.disconnect());
  expect(redis.options.keepAlive).toBe(30_000);
});
