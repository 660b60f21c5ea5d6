// TLS: what the client library is given for it, and whose certificate is good.

import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { TlsOptions } from "@nats-io/transport-node";
import type { NatsTls } from "./options.ts";

/** What Node checks a certificate against where the client names no host: it does not for an IP address. */
const NO_HOST = "localhost";

/** The client passes what it does not know on to Node. */
type NodeTlsOptions = TlsOptions & {
  readonly servername?: string;
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
};

export function tlsOptions({ serverName, ...files }: NatsTls, servers: readonly string[]): TlsOptions {
  const hosts = servers.map(hostOf);
  const options: NodeTlsOptions = {
    ...files,
    ...(serverName === undefined ? {} : { servername: serverName }),
    // Without this, a certificate for "localhost" would do for every IP address, and the right one for none.
    checkServerIdentity: (host, certificate) =>
      goodForOne(host !== NO_HOST || hosts.includes(NO_HOST) ? [host] : hosts.filter(isIP), certificate),
  };
  return options;
}

/** Undefined if the certificate is good for one of these hosts, else why it is not for the last of them. */
function goodForOne(hosts: readonly string[], certificate: PeerCertificate): Error | undefined {
  let why: Error | undefined = new Error("The server's certificate is for another host.");
  for (const host of hosts) {
    why = checkServerIdentity(host, certificate);
    if (why === undefined) return undefined;
  }
  return why;
}

function hostOf(server: string): string {
  const { hostname } = new URL(`nats://${server.replace(/^(?:nats|tls):\/\//u, "")}`);
  return hostname.replace(/^\[(.*)\]$/u, "$1");
}
