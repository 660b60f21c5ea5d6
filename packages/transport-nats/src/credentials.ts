// Credentials: how the client library is told who this member is, anew with each connection.

import { readFileSync } from "node:fs";
import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
  type Authenticator,
} from "@nats-io/transport-node";
import type { Credentials } from "./options.ts";

export function authenticatorOf(credentials: Credentials): Authenticator | null {
  switch (credentials.kind) {
    case "none":
      return null;
    case "token":
      return tokenAuthenticator(credentials.token);
    case "user":
      return usernamePasswordAuthenticator(credentials.user, credentials.pass);
    case "nkeySeed":
      return nkeyAuthenticator(credentials.seed);
    case "credentialsFile":
      return fromFile(credentials.path);
  }
}

/** What the file holds now: who renews credentials replaces it. */
function fromFile(path: string): Authenticator {
  let last: Uint8Array = readFileSync(path);
  return (nonce) => {
    // An authenticator that throws ends the client for good. While the file is being replaced the last one has to do.
    try {
      const auth = credsAuthenticator(readFileSync(path))(nonce);
      last = readFileSync(path);
      return auth;
    } catch {
      return credsAuthenticator(last)(nonce);
    }
  };
}
