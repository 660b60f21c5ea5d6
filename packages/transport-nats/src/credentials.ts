// Credentials: how the client library is told who this member is, anew with each connection.

import {
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
  type Authenticator,
} from "@nats-io/transport-node";
import { readCredentials, type Credentials } from "./options.ts";

/** @throws {ConfigError} there are no credentials in the file any more that there were when it was checked */
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
  let last = readCredentials(path);
  return (nonce) => {
    // An authenticator that throws ends the client for good. While the file is being replaced the last one has to do.
    try {
      last = readCredentials(path);
    } catch {
      // The next connection reads it again.
    }
    return credsAuthenticator(last)(nonce);
  };
}
