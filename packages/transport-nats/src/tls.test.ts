import type { PeerCertificate } from "node:tls";
import { describe, expect, it } from "vitest";
import { tlsOptions } from "./tls.ts";

/** What the check says of a server, as it is called for an IP address: with the name that Node takes for want of one. */
function isGood(servers: readonly string[], subjectaltname: string, host = "localhost"): boolean {
  const { checkServerIdentity } = tlsOptions({}, servers) as {
    checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
  };
  const certificate = { subject: { CN: "server" }, subjectaltname } as unknown as PeerCertificate;
  return checkServerIdentity(host, certificate) === undefined;
}

describe("a certificate", () => {
  it("for localhost is none for an IP address", () => {
    expect(isGood(["10.0.0.1:4222"], "DNS:localhost")).toBe(false);
    expect(isGood(["localhost:4222"], "DNS:localhost")).toBe(true);
  });

  it("for the IP address of one of the servers is good for it", () => {
    expect(isGood(["nats://10.0.0.1:4222", "tls://10.0.0.2:4222"], "IP Address:10.0.0.2")).toBe(true);
    expect(isGood(["[fd00::1]:4222"], "IP Address:FD00:0:0:0:0:0:0:1")).toBe(true);
    expect(isGood(["10.0.0.1:4222"], "IP Address:10.0.0.2")).toBe(false);
  });

  it("for a name is good for that one alone", () => {
    expect(isGood(["nats.internal:4222"], "DNS:nats.internal", "nats.internal")).toBe(true);
    expect(isGood(["nats.internal:4222", "10.0.0.1:4222"], "IP Address:10.0.0.1", "nats.internal")).toBe(
      false,
    );
  });
});
