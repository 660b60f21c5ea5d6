import { Redis } from "ioredis";
import { describe, expect, it, onTestFinished } from "vitest";
import { fakeRedis, fakeSentinel, silentServer } from "../../../test/services/fake-redis.ts";
import { freePort } from "../../../test/services/free-port.ts";
import { connections, connectWithin } from "./connections.ts";
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

describe("a connection that is found by Sentinels", () => {
  const connect = async (ports: readonly number[]): Promise<Redis> => {
    const sentinels = ports.map((port) => ({ host: "127.0.0.1", port }));
    const client = new Redis({ sentinels, name: "main", lazyConnect: true });
    const redis = connections(redisSettings({ client, commandTimeout: "600ms" }))(null);
    onTestFinished(() => redis.disconnect());
    await connectWithin(redis, 600);
    return redis;
  };

  it("is made although the first of them takes connections and says nothing", async () => {
    const redis = await connect([await silentServer(), await fakeSentinel(await fakeRedis())]);
    expect(redis.status).toBe("ready");
  });

  it("is given up in time where none of them says anything", async () => {
    await expect(connect([await silentServer(), await silentServer()])).rejects.toThrow();
  });

  it.each(["client", "connection"])(
    "leaves each of them, and the master, its part of the time (%s)",
    (how) => {
      const found = { sentinels: [{ host: "one" }, { host: "two" }], name: "main", lazyConnect: true };
      const options = how === "client" ? { client: new Redis(found) } : { connection: found };
      const redis = connections(redisSettings({ ...options, commandTimeout: "600ms" }))(null);
      onTestFinished(() => redis.disconnect());
      expect(redis.options).toMatchObject({ connectTimeout: 200, sentinelCommandTimeout: 200 });
    },
  );
});

it("connections are kept alive, also where the client's own are not: one that only listens notices that it is gone", () => {
  const client = new Redis({ keepAlive: 0, lazyConnect: true });
  const redis = connections(redisSettings({ client }))(null);
  onTestFinished(() => redis.disconnect());
  expect(redis.options.keepAlive).toBe(30_000);
});
