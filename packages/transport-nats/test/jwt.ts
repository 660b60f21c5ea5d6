// What `nsc` makes, for tests: an operator, an account, and users with credentials files.

import { nkeys } from "@nats-io/transport-node";

type KeyPair = ReturnType<typeof nkeys.createUser>;

export interface Operator {
  /** Lines for a server's configuration file. */
  readonly config: string;
  /** The text of a credentials file for a user of the one account. `expiresAt` in seconds since 1970. */
  credentials(user?: { readonly expiresAt?: number; readonly maySubscribe?: boolean }): string;
}

export function createOperator(): Operator {
  const [operator, account] = [nkeys.createOperator(), nkeys.createAccount()];
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const operatorJwt = sign(operator, operator, { type: "operator", version: 2 });
  const limits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const accountJwt = sign(account, operator, { type: "account", version: 2, limits });
  return {
    config: `operator: ${operatorJwt}
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
    credentials({ expiresAt, maySubscribe = true } = {}) {
      const user = nkeys.createUser();
      const jwt = sign(
        user,
        account,
        { type: "user", version: 2, pub: {}, sub: maySubscribe ? {} : { deny: [">"] }, ...unlimited },
        expiresAt,
      );
      const seed = new TextDecoder().decode(user.getSeed());
      return `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------
`;
    },
  };
}

function sign(subject: KeyPair, issuer: KeyPair, nats: object, expiresAt?: number): string {
  const claims = {
    jti: subject.getPublicKey(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: subject.getPublicKey(),
    ...(expiresAt === undefined ? {} : { exp: expiresAt }),
    nats,
  };
  const text = `${encoded({ typ: "JWT", alg: "ed25519-nkey" })}.${encoded(claims)}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
