import { ConfigError } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { checkOptions, optionsFromUrl, type GrpcOptions } from "./options.ts";

const SECRET = "a-secret-of-the-cluster";
const PEMS = { certificate: "-----BEGIN", key: "-----BEGIN", ca: "-----BEGIN" };

describe("the options", () => {
  it("have defaults for one machine", () => {
    expect(checkOptions({})).toMatchObject({
      listen: { host: "127.0.0.1", port: 0 },
      advertise: null,
      tls: null,
      token: null,
      maxMessageBytes: 4_259_840,
    });
  });

  it("take names, IPv4 and IPv6", () => {
    for (const listen of ["host.internal:9000", "10.0.0.1:9000", "[fd00::1]:9000"])
      expect(checkOptions({ listen }).listen.port).toBe(9_000);
  });

  it.each<[string, GrpcOptions]>([
    ["listen", { listen: "9000" }],
    ["listen", { listen: "host:70000" }],
    ["listen", { listen: "http://host:1" }],
    ["advertise", { listen: "0.0.0.0:9000" }],
    ["advertise", { listen: "[::]:9000" }],
    ["advertise", { advertise: "host:0" }],
    ["token", { token: "short" }],
    ["token", { token: `${SECRET} ` }],
    ["maxMessageBytes", { maxMessageBytes: 1 }],
    ["maxQueuedMessages", { maxQueuedMessages: 0.5 }],
    ["keepAliveMs", { keepAliveMs: Number.NaN }],
    ["tls.certificate", { tls: { certificate: "/nowhere.pem", key: "/nowhere.key" } }],
    ["keepAliveMs", { keepAliveMs: 3e9 }],
    ["connectTimeoutMs", { connectTimeoutMs: 3e9 }],
    ["tls.CA", { tls: { certificate: "c", key: "k", CA: "a" } as { certificate: string; key: string } }],
    ["tls.clientAuth", { tls: { ...PEMS, clientAuth: 0 as unknown as boolean } }],
    ["tls.clientAuth", { tls: { certificate: "-----BEGIN", key: "-----BEGIN", clientAuth: true } }],
    ["listn", { listn: "host:1" } as GrpcOptions],
  ])("refuse a bad %s, and show no secret", (option, options) => {
    const check = (): unknown => checkOptions(options);
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(`transport.${option}`);
    expect(check).not.toThrow(SECRET);
  });
});

describe("a URL", () => {
  it("says everything that the options do", () => {
    const url = `grpc://10.0.0.1:9000?advertise=host:1&token=${SECRET}&certificate=c&key=k&ca=a&clientAuth=false&maxConnections=5`;
    expect(optionsFromUrl(url)).toEqual({
      listen: "10.0.0.1:9000",
      advertise: "host:1",
      token: SECRET,
      maxConnections: 5,
      tls: { certificate: "c", key: "k", ca: "a", clientAuth: false },
    });
    expect(optionsFromUrl("grpc:")).toEqual({});
  });

  it.each(["clientAuth=1", "clientAuth=TRUE", "clientAuth=", "clientAuth=true&clientAuth=false"])(
    "is refused where it is not clear whether who connects needs a certificate: %s",
    (parameters) => {
      const read = (): unknown => optionsFromUrl(`grpc://host:1?certificate=c&key=k&ca=a&${parameters}`);
      expect(read).toThrow(ConfigError);
    },
  );

  it("is refused with a parameter that is none, without showing it", () => {
    expect(() => optionsFromUrl(`grpc://host:1?tokn=${SECRET}`)).toThrow(/"tokn"/u);
    expect(() => optionsFromUrl(`grpc://host:1?tokn=${SECRET}`)).not.toThrow(SECRET);
  });

  it.each(["&rest", "&rest&rest"])(
    "is refused with a token that has %s, without showing a piece of it",
    (end) => {
      const read = (): unknown => optionsFromUrl(`grpc://host:1?token=${SECRET}${end}`);
      expect(read).toThrow(/%26/u);
      expect(read).not.toThrow("rest");
    },
  );
});
