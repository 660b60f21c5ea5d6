import { ConfigError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { checkOptions, optionsFromUrl, type EtcdOptions } from "./options.ts";

describe("the options", () => {
  it("have defaults for one machine", () => {
    expect(checkOptions({})).toEqual({
      hosts: ["http://127.0.0.1:2379"],
      prefix: "/holdfast/",
      auth: null,
      tls: null,
      timeoutMs: 3_000,
    });
  });

  it("end a prefix with a slash, so that one cluster's keys are not the start of another's", () => {
    expect(checkOptions({ prefix: "/orders" }).prefix).toBe("/orders/");
  });

  it.each<[string, EtcdOptions]>([
    ["hosts", { hosts: [] }],
    ["hosts", { hosts: "127.0.0.1" }],
    ["hosts", { hosts: "http://user:secret@127.0.0.1:2379" }],
    ["hosts", { hosts: ["http://a:1", "https://b:1"] }],
    ["prefix", { prefix: "" }],
    ["prefix", { prefix: "/" }],
    ["prefix", { prefix: "/a b/" }],
    ["auth", { auth: { username: "", password: "secret" } }],
    ["tls", { hosts: "http://a:1", tls: {} }],
    ["tls.ca", { hosts: "https://a:1", tls: { ca: "/nowhere.pem" } }],
    ["tls", { hosts: "https://a:1", tls: { key: "/nowhere.key" } }],
    ["timeoutMs", { timeoutMs: 0 }],
    ["timeoutMs", { timeoutMs: 3e9 }],
    ["tls.CA", { hosts: "https://a:1", tls: { CA: "x" } as object }],
    [
      "auth.pass",
      {
        auth: { username: "me", password: "secret", pass: "secret" } as {
          username: string;
          password: string;
        },
      },
    ],
    ["host", { host: "a:1" } as EtcdOptions],
  ])("refuse bad %s, and show no password", (option, options) => {
    const check = (): unknown => checkOptions(options);
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(`runners.${option}`);
    expect(check).not.toThrow("secret");
  });
});

describe("a URL", () => {
  it("says everything that the options do", () => {
    expect(optionsFromUrl("etcd://me:s%40%3A@a:1,b/orders/?ca=x&timeoutMs=500")).toEqual({
      hosts: ["https://a:1", "https://b:2379"],
      prefix: "/orders/",
      auth: { username: "me", password: "s@:" },
      tls: { ca: "x" },
      timeoutMs: 500,
    });
    expect(optionsFromUrl("etcd:")).toEqual({});
    expect(optionsFromUrl("etcd://a")).toEqual({ hosts: ["http://a:2379"] });
  });

  it("is refused with a parameter that is none, without showing the password", () => {
    expect(() => optionsFromUrl("etcd://me:secret@a?c=1")).toThrow(/"c"/u);
    expect(() => optionsFromUrl("etcd://me:secret@a?c=1")).not.toThrow("secret");
  });

  it.each(["sec?ret", "sec/ret", "sec?a=1&ret", "sec?ret=1", "s@c?ret", "s@c/ret"])(
    "is refused with the password %s, which is to be encoded, without showing a piece of it",
    (password) => {
      const read = (): unknown => checkOptions(optionsFromUrl(`etcd://me:${password}@a/x`));
      expect(read).toThrow("etcd: with an @ after a / or a ?");
      expect(read).toThrow(/%2F and %3F/u);
      expect(read).not.toThrow(/sec|ret|"a"/u);
    },
  );

  it("is refused with a percent sign that is no escape in its password", () => {
    expect(() => optionsFromUrl("etcd://me:secret%@a")).toThrow(/%25/u);
    expect(() => optionsFromUrl("etcd://me:secret%@a")).not.toThrow("secret");
  });

  it.each(["a?tls=1", "a?tls=TRUE", "a?tls=false&ca=x", "a?tls=false&tls=true", "a/%zz"])(
    "is refused where it is not clear whether its password goes out without TLS, or what it says: %s",
    (rest) => {
      const read = (): unknown => optionsFromUrl(`etcd://me:secret@${rest}`);
      expect(read).toThrow(ConfigError);
      expect(read).not.toThrow("secret");
    },
  );
});
