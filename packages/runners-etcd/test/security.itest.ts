// Users, passwords and certificates.

import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { PersistenceError } from "@holdfast/core/adapter";
import { Etcd3 } from "etcd3";
import { startOwnEtcd } from "../../../test/services/etcd.ts";
import { findProgram } from "../../../test/services/programs.ts";
import { certificateAuthority } from "../../../test/services/certificates.ts";
import { member } from "../../../test/member.ts";
import { etcd, runnersFromUrl } from "../src/index.ts";
import { hostsOf, services, Sessions } from "./backend.ts";

const TTL_MS = 20_000;
const PASSWORD = "correct horse";

describe.skipIf(findProgram("etcd") === undefined)("an etcd with users", () => {
  it("lets in who has the password, goes on when the token is over, and tells the others so without showing it", async () => {
    const server = await startOwnEtcd({ extra: ["--auth-token-ttl", "1"] });
    onTestFinished(() => server.stop());
    const hosts = hostsOf(server.url);
    await using sessions = new Sessions({ hosts, timeoutMs: 2_000 });
    await enableUsers(hosts, sessions.prefix);
    const runners = await sessions.open({ auth: { username: "holdfast", password: PASSWORD } });
    await runners.register(member("r1"), TTL_MS);
    expect(await runners.acquireShards("r1", ["default:0"])).toEqual(["default:0"]);
    // The server forgets its tokens.
    await server.control.restart();
    await expect
      .poll(() => runners.refresh("r1").catch(() => "unreachable"), { timeout: 10_000 })
      .toBe("held");
    expect(await runners.listRunners()).toEqual([member("r1")]);
    await runners.releaseShards("r1", ["default:0"]);

    for (const [wrong, prefix] of [
      ["wrong horse", sessions.prefix],
      [PASSWORD, "/others/"],
    ] as const) {
      const refused = etcd({
        hosts,
        prefix,
        timeoutMs: 1_000,
        auth: { username: "holdfast", password: wrong },
      });
      const error: unknown = await refused.open(services()).then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(PersistenceError);
      expect(String(error)).not.toContain(wrong);
    }
  });

  it("tells a watch whose token is over to read, which renews it, so that it goes on", async () => {
    const server = await startOwnEtcd();
    onTestFinished(() => server.stop());
    const hosts = hostsOf(server.url);
    const auth = { username: "holdfast", password: PASSWORD };
    await using sessions = new Sessions({ hosts, timeoutMs: 2_000, auth });
    await enableUsers(hosts, sessions.prefix);
    const watching = await sessions.open();
    let seen: readonly string[] = [];
    const end = await watching.watch(() => {
      // As core does. What fails is told again.
      void watching.listRunners().then(
        (members) => (seen = members.map(({ runnerId }) => runnerId)),
        () => undefined,
      );
    });
    // That a password is set ends a user's tokens, also where it is the same. Nothing else asks etcd in this member's name.
    const operator = new Etcd3({ hosts, auth: { username: "root", password: "root" } });
    await operator.user("holdfast").setPassword(PASSWORD);
    operator.close();
    await server.control.restart();
    const other = await sessions.open();
    await other.register(member("r2"), TTL_MS);
    await expect.poll(() => seen, { timeout: 10_000 }).toEqual(["r2"]);
    await other.unregister("r2");
    await expect.poll(() => seen, { timeout: 10_000 }).toEqual([]);
    await end();
  });

  it("lets in who asks first a member that takes connections and says nothing", async () => {
    const server = await startOwnEtcd();
    onTestFinished(() => server.stop());
    const silent = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await once(silent, "listening");
    const host = hostsOf(server.url);
    // The one that answers often, so that no call asks the other one each time.
    const hosts = [
      `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      ...Array.from({ length: 5 }, () => host),
    ];
    await using sessions = new Sessions({ hosts, auth: { username: "holdfast", password: PASSWORD } });
    await enableUsers(host, sessions.prefix);
    const runners = await sessions.open();
    expect(await runners.listRunners()).toEqual([]);
  });

  it("that signs its tokens lets members go on after a user or a role was changed, which ends all tokens", async () => {
    const server = await startOwnEtcd({
      extra: ["--auth-token", `jwt,sign-method=RS256,ttl=10m,${keyPair()}`],
    });
    onTestFinished(() => server.stop());
    const hosts = hostsOf(server.url);
    const auth = { username: "holdfast", password: PASSWORD };
    await using sessions = new Sessions({ hosts, timeoutMs: 2_000, auth });
    await enableUsers(hosts, sessions.prefix);
    const runners = await sessions.open();
    await runners.register(member("r1"), TTL_MS);
    const operator = new Etcd3({ hosts, auth: { username: "root", password: "root" } });
    await operator.user("somebody else").create("battery staple");
    expect(await runners.acquireShards("r1", ["default:0"])).toEqual(["default:0"]);
    await operator.user("somebody else").delete();
    operator.close();
    expect(await runners.listRunners()).toEqual([member("r1")]);
    await runners.unregister("r1");
    expect(await runners.listRunners()).toEqual([]);
  });
});

describe.skipIf(findProgram("etcd") === undefined)("an etcd with certificates", () => {
  it("is spoken to with TLS on both sides, and by nobody without", async () => {
    using ours = certificateAuthority();
    using theirs = certificateAuthority();
    const server = ours.issue("server");
    const service = await startOwnEtcd({
      scheme: "https",
      extra:
        `--cert-file ${server.certificate} --key-file ${server.key} --client-cert-auth --trusted-ca-file ${ours.ca}`.split(
          " ",
        ),
    });
    onTestFinished(() => service.stop());
    const hosts = hostsOf(service.url, "https");
    const client = ours.issue("client");
    await using sessions = new Sessions({ hosts, tls: { ...client, ca: ours.ca } });
    const runners = await sessions.open();
    await runners.register(member("r1"), TTL_MS);
    // The same from a URL, and with the PEMs themselves.
    const query = new URLSearchParams({ ca: ours.ca, certificate: client.certificate, key: client.key });
    const fromUrl = await runnersFromUrl(`${service.url}${sessions.prefix}?${query.toString()}`).open(
      services(),
    );
    expect(await fromUrl.runners.listRunners()).toEqual([member("r1")]);
    await fromUrl.close();
    const pems = { ca: readFileSync(ours.ca, "utf8") };
    for (const tls of [pems, { ...theirs.issue("stranger"), ca: ours.ca }, { ...client, ca: theirs.ca }]) {
      await expect(etcd({ hosts, tls, timeoutMs: 500 }).open(services())).rejects.toBeInstanceOf(
        PersistenceError,
      );
    }
    await expect(
      etcd({ hosts: hostsOf(service.url), timeoutMs: 500 }).open(services()),
    ).rejects.toBeInstanceOf(PersistenceError);
  });
});

/** The option of etcd that names the keys with which it signs tokens. */
function keyPair(): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-etcd-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { publicKey, privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2_048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  writeFileSync(join(folder, "public.pem"), publicKey);
  writeFileSync(join(folder, "private.pem"), privateKey);
  return `pub-key=${join(folder, "public.pem")},priv-key=${join(folder, "private.pem")}`;
}

/** A user who may use the prefix alone, and authentication for all. */
async function enableUsers(hosts: string, prefix: string): Promise<void> {
  const operator = new Etcd3({ hosts });
  try {
    await operator.auth.userAdd({ name: "root", password: "root" });
    await operator.auth.roleAdd({ name: "root" });
    await operator.auth.userGrantRole({ user: "root", role: "root" });
    const role = operator.role("holdfast");
    await role.create();
    await role.grant({ permission: "Readwrite", range: operator.range({ prefix }) });
    const user = operator.user("holdfast");
    await user.create(PASSWORD);
    await user.addRole("holdfast");
    await operator.auth.authEnable();
  } finally {
    operator.close();
  }
}
