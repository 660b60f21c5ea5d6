import { ConfigError } from "@holdfast/core/adapter";
import { Cluster, Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { redis } from "./index.ts";
import { checkOptions, type RedisRunnersOptions } from "./options.ts";
import { optionsFromUrl } from "./url.ts";

describe("the options", () => {
  it("have defaults for one machine", () => {
    expect(checkOptions({})).toEqual({
      client: null,
      hosts: [{ host: "127.0.0.1", port: 6379 }],
      database: 0,
      auth: null,
      sentinel: null,
      isCluster: false,
      prefix: "holdfast",
      tls: null,
      commandTimeoutMs: 3_000,
      pollIntervalMs: 2_000,
    });
  });

  it.each<[string, RedisRunnersOptions]>([
    ["url", { url: "127.0.0.1:6379" }],
    ["url", { url: "" }],
    ["url", { url: "http://me:secret@a" }],
    ["url", { url: "redis://me:secret@a:99999" }],
    ["url", { url: "redis://me:secret@a,b" }],
    ["url", { url: "redis://secret@a" }],
    ["url", { url: "redis://me:secret%@a" }],
    ["url", { url: "redis://me:secret@a/two" }],
    ["url", { url: "redis://me:secret@a?prefix=b" }],
    ["url", { url: "redis://me:secret@a/1", cluster: true }],
    ["sentinel.name", { sentinel: { name: "", password: "secret" } }],
    ["sentinel", { sentinel: { name: "a" }, cluster: true }],
    ["cluster", { cluster: "yes" as never }],
    ["client", { client: {} as Redis }],
    ["client", { client: null as never }],
    ["prefix", { prefix: "" }],
    ["prefix", { prefix: "a}b" }],
    ["tls", { url: "redis://a", tls: {} }],
    ["tls.ca", { url: "rediss://a", tls: { ca: "/nowhere.pem" } }],
    ["tls", { url: "rediss://a", tls: { key: "/nowhere.key" } }],
    ["tls.cert", { url: "rediss://a", tls: { cert: "/a.pem" } as never }],
    ["sentinel.user", { sentinel: { name: "a", user: "b" } as never }],
    ["commandTimeout", { commandTimeout: 99 }],
    ["commandTimeout", { commandTimeout: "11m" }],
    ["commandTimeout", { commandTimeout: true as never }],
    ["pollInterval", { pollInterval: Number.NaN }],
    ["pollInterval", { pollInterval: 49 }],
    // A timer of Node would fire at once.
    ["pollInterval", { pollInterval: 2 ** 31 }],
    ["timeoutMs", { timeoutMs: 600 } as RedisRunnersOptions],
    ["host", { host: "a:1" } as RedisRunnersOptions],
  ])("refuse bad %s, and show no password", (option, options) => {
    const check = (): unknown => redis(options);
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(`"runners.${option}"`);
    expect(check).not.toThrow("secret");
  });

  it.each<[string, RedisRunnersOptions]>([
    ["url", { url: "redis://a" }],
    ["sentinel", { sentinel: { name: "a" } }],
    ["cluster", { cluster: true }],
    ["tls", { tls: {} }],
  ])("refuse %s beside a client, which has its own", (option, options) => {
    const client = new Redis({ lazyConnect: true });
    expect(() => redis({ client, ...options })).toThrow(`"runners.${option}"`);
    expect(redis({ client, prefix: "a" }).kind).toBe("runners");
  });
});

describe("durations", () => {
  it.each([
    [600_000, "10 minutes"],
    [100, "100ms"],
  ])("are milliseconds or texts, up to ten minutes: %s", (ms, text) => {
    const settings = { commandTimeoutMs: ms, pollIntervalMs: ms };
    expect(checkOptions({ commandTimeout: ms, pollInterval: ms })).toMatchObject(settings);
    expect(checkOptions({ commandTimeout: text, pollInterval: text })).toMatchObject(settings);
  });
});

describe("a client", () => {
  it("is a Redis or a Cluster of any copy of ioredis", () => {
    for (const client of [
      new Redis({ lazyConnect: true }),
      new Cluster(["redis://a"], { lazyConnect: true }),
      { isCluster: false, options: {}, duplicate: () => null },
    ]) {
      expect(checkOptions({ client }).client).toBe(client);
    }
  });
});

describe("a URL", () => {
  it("says everything that the options do", () => {
    const options = optionsFromUrl(
      "rediss://me:s%40%3A@a:1,[::1]:2/?prefix=orders&cluster=true&commandTimeout=500ms&pollInterval=100",
    );
    expect(checkOptions(options)).toMatchObject({
      hosts: [
        { host: "a", port: 1 },
        { host: "::1", port: 2 },
      ],
      auth: { username: "me", password: "s@:" },
      isCluster: true,
      prefix: "orders",
      tls: {},
      commandTimeoutMs: 500,
      pollIntervalMs: 100,
    });
    expect(
      checkOptions(optionsFromUrl("redis://:pw@a,b:7/3?sentinel=main&sentinelPassword=other")),
    ).toMatchObject({
      hosts: [
        { host: "a", port: 26_379 },
        { host: "b", port: 7 },
      ],
      auth: { username: null, password: "pw" },
      database: 3,
      sentinel: { name: "main", username: null, password: "other" },
      tls: null,
    });
    expect(optionsFromUrl("rediss://a?ca=x&certificate=y&key=z").tls).toEqual({
      ca: "x",
      certificate: "y",
      key: "z",
    });
  });

  it.each(["redis:", "redis://", "redis://127.0.0.1", "redis://127.0.0.1:6379/"])(
    "may leave out what has a default: %s",
    (url) => {
      expect(checkOptions(optionsFromUrl(url))).toEqual(checkOptions({}));
    },
  );

  it("shows nothing of a password that was not encoded", () => {
    expect(() => optionsFromUrl("redis://me:open?secret@a")).toThrow(ConfigError);
    expect(() => optionsFromUrl("redis://me:open?secret@a")).not.toThrow("secret");
    expect(() => optionsFromUrl("redis://me:secret@a?c=1")).toThrow(/"c"/u);
  });

  it.each([
    "db=1",
    "cluster=1&prefix=secret",
    "sentinelPassword=secret",
    "sentinelPassword=a&secret",
    "commandTimeout=soon",
    "prefix=",
  ])("is refused with %s, without showing the password", (query) => {
    const read = (): unknown => redis(optionsFromUrl(`redis://me:secret@a?${query}`));
    expect(read).toThrow(ConfigError);
    expect(read).not.toThrow("secret");
  });
});
