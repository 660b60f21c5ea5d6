import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@holdfast/core/adapter";
import { nkeys } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { authenticatorOf } from "./credentials.ts";
import { checkOptions } from "./options.ts";

/** A file for one test. */
function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-nats-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "user.creds"), text);
  return join(folder, "user.creds");
}

function credentials(jwt: string, { user = nkeys.createUser(), seed = textOf(user.getSeed()) } = {}): string {
  return `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------
`;
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

const SEED = textOf(nkeys.createUser().getSeed());

const malformed: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["something else", "not written to its end yet"],
  ["no seed", credentials("a.jwt").replace(/-----BEGIN USER[^]*/u, "")],
  ["no whole seed", credentials("a.jwt", { seed: SEED.slice(0, -8) })],
  ["a seed that was altered", credentials("a.jwt", { seed: SEED.replace(/...$/u, "AAA") })],
  ["an account's seed", credentials("a.jwt", { seed: textOf(nkeys.createAccount().getSeed()) })],
];

describe("a credentials file", () => {
  it("is read with each connection", () => {
    const path = fileWith(credentials("first.jwt"));
    const authenticator = authenticatorOf(checkOptions({ credentialsFile: path }).credentials);
    expect(authenticator?.("nonce")).toMatchObject({ jwt: "first.jwt" });
    writeFileSync(path, credentials("second.jwt"));
    expect(authenticator?.("nonce")).toMatchObject({ jwt: "second.jwt" });
  });

  it.each([...malformed, ["nothing, since it is gone,", null] as const])(
    "that holds %s for a while is replaced by the last that was good, each time",
    (_, text) => {
      const path = fileWith(credentials("first.jwt"));
      const authenticator = authenticatorOf({ kind: "credentialsFile", path });
      writeFileSync(path, credentials("second.jwt"));
      authenticator?.("nonce");
      if (text === null) rmSync(path);
      else writeFileSync(path, text);
      for (let connection = 0; connection < 3; connection += 1)
        expect(authenticator?.("nonce")).toMatchObject({ jwt: "second.jwt" });
      writeFileSync(path, credentials("third.jwt"));
      expect(authenticator?.("nonce")).toMatchObject({ jwt: "third.jwt" });
    },
  );

  it.each(malformed)("that holds %s is refused, without showing it", (_, text) => {
    const check = (): unknown => checkOptions({ credentialsFile: fileWith(text) });
    expect(check).toThrow(ConfigError);
    expect(check).toThrow('"transport.credentialsFile"');
    expect(check).not.toThrow(/SU[A-Z0-9]/u);
  });

  it("that is gone by the time of the start is refused by us, not by the file system", () => {
    const path = fileWith(credentials("a.jwt"));
    const settings = checkOptions({ credentialsFile: path });
    rmSync(path);
    expect(() => authenticatorOf(settings.credentials)).toThrow(ConfigError);
  });
});
