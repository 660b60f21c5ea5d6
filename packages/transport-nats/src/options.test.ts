import { ConfigError } from "@holdfast/core/adapter";
import { nkeys } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { optionsFromUrl } from "./options-url.ts";
import { checkOptions, type NatsOptions } from "./options.ts";

const SECRET = "a-secret-of-the-cluster";
const here = import.meta.filename;

describe("the options", () => {
  it("have defaults for one machine", () => {
    expect(checkOptions({})).toEqual({
      servers: ["127.0.0.1:4222"],
      prefix: "holdfast",
      name: null,
      credentials: { kind: "none" },
      tls: null,
      maxQueuedBytes: 67_108_864,
      maxQueuedMessages: 100_000,
      maxInFlightBytes: 2_097_152,
      keepAliveMs: 2_000,
      connectTimeoutMs: 5_000,
    });
  });

  it("take servers by name, IPv4 and IPv6, one or several", () => {
    const servers = ["nats.internal:4222", "nats://10.0.0.1:4222", "tls://nats.internal", "[fd00::1]:4222"];
    expect(checkOptions({ servers }).servers).toEqual(servers);
    expect(checkOptions({ servers: "localhost" }).servers).toEqual(["localhost"]);
  });

  it("take one way to say who this member is", () => {
    expect(checkOptions({ token: SECRET }).credentials).toEqual({ kind: "token", token: SECRET });
    expect(checkOptions({ user: "app", pass: SECRET }).credentials).toEqual({
      kind: "user",
      user: "app",
      pass: SECRET,
    });
    const nkeySeed = new TextDecoder().decode(nkeys.createUser().getSeed());
    expect(checkOptions({ nkeySeed }).credentials.kind).toBe("nkeySeed");
  });

  it.each<[string, NatsOptions]>([
    ["servers", { servers: [] }],
    ["servers", { servers: "http://host:1" }],
    ["servers", { servers: "host:70000" }],
    ["servers", { servers: `nats://app:${SECRET}@host:4222` }],
    ["servers", { servers: `app:${SECRET}` }],
    ["servers", { servers: `nats://app:1/${SECRET}` }],
    ["servers", { servers: [`host:1`, `host?${SECRET}`] }],
    ["prefix", { prefix: "" }],
    ["prefix", { prefix: "a..b" }],
    ["prefix", { prefix: "a.*" }],
    ["prefix", { prefix: "x".repeat(129) }],
    ["name", { name: "a.b" }],
    ["name", { name: ">" }],
    ["token", { token: "" }],
    ["user", { token: SECRET, user: "app" }],
    ["credentialsFile", { user: "app", pass: SECRET, credentialsFile: "f" }],
    ["pass", { pass: SECRET }],
    ["pass", { user: "app", pass: 7 as unknown as string }],
    ["nkeySeed", { nkeySeed: SECRET }],
    ["credentialsFile", { credentialsFile: "/nowhere.creds" }],
    ["credentialsFile", { credentialsFile: import.meta.filename.replace("options.test", "index") }],
    ["tls", { tls: { certFile: here } }],
    ["tls.caFile", { tls: { caFile: "/nowhere.pem" } }],
    ["tls.ca", { tls: { ca: "x" } as NonNullable<NatsOptions["tls"]> }],
    ["maxQueuedBytes", { maxQueuedBytes: 1 }],
    ["maxQueuedMessages", { maxQueuedMessages: 0.5 }],
    ["maxInFlightBytes", { maxInFlightBytes: -1 }],
    ["keepAliveMs", { keepAliveMs: Number.NaN }],
    ["keepAliveMs", { keepAliveMs: 3e9 }],
    ["connectTimeoutMs", { connectTimeoutMs: 3e9 }],
    ["connectTimeoutMs", { connectTimeoutMs: 99 }],
    ["server", { server: "host:1" } as NatsOptions],
  ])("refuse a bad %s, and show no secret", (option, options) => {
    const check = (): unknown => checkOptions(options);
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(`"transport.${option}"`);
    expect(check).not.toThrow(SECRET);
  });
});

describe("a URL", () => {
  it("says everything that the options do", () => {
    expect(
      optionsFromUrl(
        "nats://app:p%40ss@a:4222,b:4222/shop.prod?name=one&caFile=c&certFile=f&keyFile=k&serverName=s&keepAliveMs=500",
      ),
    ).toEqual({
      servers: ["a:4222", "b:4222"],
      prefix: "shop.prod",
      user: "app",
      pass: "p@ss",
      name: "one",
      tls: { caFile: "c", certFile: "f", keyFile: "k", serverName: "s" },
      keepAliveMs: 500,
    });
    expect(optionsFromUrl("nats:")).toEqual({});
    expect(optionsFromUrl("nats://host")).toEqual({ servers: ["host"] });
    expect(optionsFromUrl("nats://host?tls=true")).toEqual({ servers: ["host"], tls: {} });
    expect(optionsFromUrl(`nats://${SECRET}@host`)).toEqual({ servers: ["host"], token: SECRET });
    expect(optionsFromUrl(`nats://host?nkeySeed=S&token=T`)).toEqual({
      servers: ["host"],
      nkeySeed: "S",
      token: "T",
    });
  });

  it.each([`tokn=${SECRET}`, `pass=${SECRET}`, "tls=false", "servers=a"])(
    "is refused with a parameter that is none, without showing it: %s",
    (parameter) => {
      const read = (): unknown => optionsFromUrl(`nats://app:${SECRET}@host:1?${parameter}`);
      expect(read).toThrow(`"${parameter.split("=")[0]}"`);
      expect(read).not.toThrow(SECRET);
    },
  );

  it("that is no URL of NATS shows which server was meant, where that holds no password", () => {
    expect(() => checkOptions({ servers: "http://host:1" })).toThrow('"http://host:1"');
    expect(() => checkOptions({ servers: "host:70000" })).toThrow('"host:70000"');
  });

  it.each([
    "nats://shop:AbC/dEf@host",
    "nats://shop:4711/dEf@host:4222/prefix",
    "nats://shop:AbC?dEf@host",
    "nats://shop:AbC?dEf=1@host",
    "nats://shop:AbC?name=dEf&gHi@host",
    "nats://shop:4711?name=dEf@host",
    "nats://shop:4711?keepAliveMs=dEf@host",
    "nats://shop:AbC/dEf?gHi@host",
    "nats://AbC/dEf@host",
    "nats://shop:AbC@dEf@host",
    "nats://shop:AbC#dEf/x@host",
  ])("with a password that is not escaped is refused, and no piece of it is shown: %s", (url) => {
    const read = (): unknown => checkOptions(optionsFromUrl(url));
    expect(read).toThrow(ConfigError);
    expect(read).not.toThrow(/AbC|dEf|gHi|4711/u);
  });

  it("says how to write a password that holds a slash, and takes it so", () => {
    expect(() => optionsFromUrl("nats://shop:a/b@host")).toThrow("%2F");
    expect(optionsFromUrl("nats://shop:a%2Fb%3Fc@host")).toMatchObject({ user: "shop", pass: "a/b?c" });
  });

  it("is refused with a token that has an &, without showing a piece of it", () => {
    expect(() => optionsFromUrl("nats://host?token=a&rest")).toThrow("%26");
    expect(() => optionsFromUrl("nats://host?token=a&rest")).not.toThrow("rest");
  });

  it("has no other characters for its own: a plus is one, and an @ in a value", () => {
    expect(optionsFromUrl("nats://host?token=a+b%2B%20=&credentialsFile=/a@b")).toEqual({
      servers: ["host"],
      token: "a+b+ =",
      credentialsFile: "/a@b",
    });
    expect(optionsFromUrl("nats://a+b@host")).toMatchObject({ token: "a+b" });
    expect(() => optionsFromUrl("nats://host?token=%zz")).toThrow(ConfigError);
  });
});
