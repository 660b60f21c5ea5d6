import { ConfigError } from "@holdfast/core/adapter";
import { Cluster, Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { redisStorage, storageFromUrl } from "./index.ts";
import { optionsFromUrl, redisSettings, type RedisStorageOptions } from "./options.ts";

describe("the options", () => {
  it("have defaults for one machine", () => {
    expect(redisSettings({})).toMatchObject({
      url: "redis://127.0.0.1:6379/0",
      client: null,
      connection: {},
      prefix: "holdfast",
      commandTimeoutMs: 5_000,
    });
  });

  it("take durations as text, and a client of ioredis that is not connected", () => {
    const client = new Redis({ lazyConnect: true });
    expect(redisSettings({ client, commandTimeout: "2s" })).toMatchObject({
      client,
      commandTimeoutMs: 2_000,
    });
  });

  it.each<[string, RedisStorageOptions]>([
    ["url", { url: "http://me:secret@a" }],
    ["url", { url: "a:6379" }],
    ["url", { url: "redis://me:secret@a/0?enableOfflineQueue=true" }],
    ["url", { url: "redis://me:secret@a?" }],
    ["url", { url: "redis://me:secret@a/0#1" }],
    ["client", { client: {} } as unknown as RedisStorageOptions],
    ["client", { client: new Redis({ lazyConnect: true }), url: "redis://me:secret@a" }],
    ["client", { client: new Redis({ lazyConnect: true }), connection: {} }],
    ["client", { client: new Cluster(["redis://a"], { lazyConnect: true }) }],
    ["connection", { connection: null } as unknown as RedisStorageOptions],
    ["prefix", { prefix: "" }],
    ["prefix", { prefix: "{orders}" }],
    ["prefix", { prefix: "a b" }],
    ["prefix", { prefix: "a".repeat(101) }],
    ["commandTimeout", { commandTimeout: 99 }],
    ["commandTimeout", { commandTimeout: "1 day" }],
    ["commandTimeout", { commandTimeout: "soon" }],
    ["onWarning", { onWarning: "log" } as unknown as RedisStorageOptions],
    ["host", { host: "a" } as RedisStorageOptions],
  ])("refuse bad %s, and show no password", (option, options) => {
    const make = (): unknown => redisStorage(options);
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(`storage.${option}`);
    expect(make).not.toThrow("secret");
  });
});

describe("a URL", () => {
  it("says where, which prefix and how long", () => {
    expect(optionsFromUrl("redis://me:s%40@a:1/2?prefix=orders&commandTimeout=2s")).toEqual({
      url: "redis://me:s%40@a:1/2",
      prefix: "orders",
      commandTimeout: "2s",
    });
    expect(optionsFromUrl("redis://a?tls=true")).toEqual({ url: "rediss://a" });
    expect(optionsFromUrl("redis://a?tls=false")).toEqual({ url: "redis://a" });
    expect(optionsFromUrl("rediss://a")).toEqual({ url: "rediss://a" });
    expect(optionsFromUrl("redis:")).toEqual({ url: "redis://127.0.0.1:6379/0" });
  });

  it.each(["yes", "1", "True", ""])(
    "that asks for TLS in other words than true and false is refused: %s",
    (tls) => {
      const read = (): unknown => storageFromUrl(`redis://me:secret@a?tls=${tls}`);
      expect(read).toThrow(ConfigError);
      expect(read).toThrow("true or false");
      expect(read).not.toThrow("secret");
    },
  );

  it.each([
    "redis://me:secret@a?pool=1",
    "redis://me:secret@a:port",
    "redis:secret",
    "redis://me:secret@a#b",
    "redis://me:123?secret=x@a:1/0",
    "redis://me:123?tls=secret@a:1/0",
  ])("that cannot be read is refused, and shows no password: %s", (url) => {
    const read = (): unknown => storageFromUrl(url);
    expect(read).toThrow(ConfigError);
    expect(read).not.toThrow("secret");
  });
});
