// Who is let in, and what is shown of secrets.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@holdfast/core/adapter";
import { nkeys } from "@nats-io/transport-node";
import { describe, expect, inject, it, onTestFinished } from "vitest";
import { certificateAuthority } from "../../../test/services/certificates.ts";
import { transportFromUrl, type NatsOptions } from "../src/index.ts";
import { optionsFromUrl } from "../src/options-url.ts";
import { createOperator } from "./jwt.ts";
import { Member } from "./member.ts";
import { clusterOn, serverWith } from "./servers.ts";

const hasNats = inject("natsUrl") !== null;
const SECRET = "a-secret-of-the-cluster";

/** The URL of a server for one test. */
async function urlOfServerWith(config: string): Promise<string> {
  return (await serverWith(config)).url;
}

/** A file for one test. */
function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-nats-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "file"), text);
  return join(folder, "file");
}

async function reachEachOther(options: NatsOptions): Promise<void> {
  await using first = await Member.start(options);
  await using second = await Member.start(options);
  expect(await first.reaches(second.address)).toBe(true);
}

/** It fails at once, for this option, and shows no secret. */
async function isRefused(options: NatsOptions, option: string): Promise<void> {
  const error: unknown = await Member.start({ connectTimeoutMs: 300, ...options }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  expect(error).toMatchObject({ option: `transport.${option}` });
  for (const secret of [SECRET, options.nkeySeed ?? SECRET]) expect(String(error)).not.toContain(secret);
}

describe.skipIf(!hasNats)("a server with a token", () => {
  it("lets in who has it, also by URL, and nobody else", async () => {
    const servers = await urlOfServerWith(`authorization { token: "${SECRET}" }`);
    await reachEachOther({ servers, token: SECRET });
    await reachEachOther(optionsFromUrl(servers.replace("//", `//${SECRET}@`)));
    await isRefused({ servers, token: "another" }, "token");
    await isRefused({ servers }, "token");
  });
});

describe.skipIf(!hasNats)("a server with users", () => {
  it("lets in who knows the password, also by URL, and nobody else", async () => {
    const servers = await urlOfServerWith(`authorization { users: [{ user: app, password: "${SECRET}" }] }`);
    await reachEachOther({ servers, user: "app", pass: SECRET });
    expect(transportFromUrl(servers.replace("//", `//app:${SECRET}@`)).kind).toBe("transport");
    await reachEachOther(optionsFromUrl(servers.replace("//", `//app:${SECRET}@`)));
    await isRefused({ servers, user: "app", pass: "another" }, "user");
    await isRefused({ servers, user: SECRET }, "user");
  });

  it("that may use one prefix only says so at the start of a member with another", async () => {
    const servers = await urlOfServerWith(
      `authorization { users: [{ user: app, password: p, permissions: { publish: "shop.>", subscribe: "shop.>" } }] }`,
    );
    await reachEachOther({ servers, user: "app", pass: "p", prefix: "shop" });
    await reachEachOther({ servers, user: "app", pass: "p", prefix: "shop.one" });
    await isRefused({ servers, user: "app", pass: "p", prefix: "other" }, "prefix");
  });
});

describe.skipIf(!hasNats)("a server with nkeys", () => {
  it("lets in who has the seed, and nobody else", async () => {
    const [user, other] = [nkeys.createUser(), nkeys.createUser()];
    const seedOf = (pair: typeof user): string => new TextDecoder().decode(pair.getSeed());
    const servers = await urlOfServerWith(`authorization { users: [{ nkey: ${user.getPublicKey()} }] }`);
    await reachEachOther({ servers, nkeySeed: seedOf(user) });
    await isRefused({ servers, nkeySeed: seedOf(other) }, "nkeySeed");
  });
});

describe.skipIf(!hasNats)("a server with an operator", () => {
  it("lets in who has credentials of its account, and nobody else", async () => {
    const operator = createOperator();
    const servers = await urlOfServerWith(operator.config);
    await reachEachOther({ servers, credentialsFile: fileWith(operator.credentials()) });
    await isRefused(
      { servers, credentialsFile: fileWith(createOperator().credentials()) },
      "credentialsFile",
    );
  });

  it("is not asked by a member whose file holds no credentials", async () => {
    const text = createOperator().credentials();
    await isRefused({ credentialsFile: fileWith(text.slice(0, -100)) }, "credentialsFile");
  });

  it("lets a member in again whose credentials expired, once its file was renewed", async () => {
    const operator = createOperator();
    const servers = await urlOfServerWith(operator.config);
    const expiresAt = Math.floor(Date.now() / 1_000) + 4;
    const file = fileWith(operator.credentials({ expiresAt }));
    await using peer = await Member.start({ servers, credentialsFile: fileWith(operator.credentials()) });
    await using member = await Member.start({ servers, credentialsFile: file });
    expect(await peer.reaches(member.address)).toBe(true);
    await member.until(() => member.gone.includes(peer.address));
    // Refused more than once until then.
    expect(await member.reaches(peer.address)).toBe(false);
    writeFileSync(file, "not written to its end yet");
    expect(await member.reaches(peer.address)).toBe(false);
    writeFileSync(file, operator.credentials());
    await member.untilReaches(peer.address);
  });
});

describe.skipIf(!hasNats)("a server with an operator that forbids a member to subscribe", () => {
  it("after it was connected is tried again until it allows it", async () => {
    const operator = createOperator();
    const own = await serverWith(operator.config);
    const file = fileWith(operator.credentials());
    const options = clusterOn(own);
    await using peer = await Member.start({ ...options, credentialsFile: fileWith(operator.credentials()) });
    await using member = await Member.start({ ...options, credentialsFile: file });
    expect(await peer.reaches(member.address)).toBe(true);
    writeFileSync(file, operator.credentials({ maySubscribe: false }));
    await own.control.restart();
    await peer.until(() => peer.gone.includes(member.address));
    while (member.transport.counters.reconnects === 0 || peer.transport.counters.reconnects === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await peer.reaches(member.address)).toBe(false);
    expect(await member.reaches(peer.address)).toBe(false);
    writeFileSync(file, operator.credentials());
    await peer.untilReaches(member.address);
    await member.untilReaches(peer.address);
  });
});

describe.skipIf(!hasNats)("a server with TLS", () => {
  it("is checked against the authority, and checks who connects where it asks for that", async () => {
    using authority = certificateAuthority();
    using stranger = certificateAuthority();
    const { certificate, key } = authority.issue("server");
    const tls = `cert_file: "${certificate}", key_file: "${key}"`;
    const servers = await urlOfServerWith(`tls { ${tls} }`);
    await reachEachOther({ servers, tls: { caFile: authority.ca } });
    const named = servers.replace("127.0.0.1", "localhost");
    await isRefused({ servers: named, tls: { caFile: authority.ca } }, "servers");
    await reachEachOther(optionsFromUrl(`${servers}?caFile=${authority.ca}`));
    await isRefused({ servers, tls: { caFile: stranger.ca } }, "servers");
    await isRefused({ servers, tls: {} }, "servers");
    await isRefused({ servers }, "servers");
    await isRefused({ servers: servers.replace("nats:", "tls:") }, "servers");
    await isRefused({ servers, tls: { caFile: authority.ca, serverName: "another.internal" } }, "servers");

    const strict = await urlOfServerWith(`tls { ${tls}, ca_file: "${authority.ca}", verify: true }`);
    const own = authority.issue("member");
    const files = { caFile: authority.ca, certFile: own.certificate, keyFile: own.key };
    await reachEachOther({ servers: strict, tls: files });
    await isRefused({ servers: strict, tls: { caFile: authority.ca } }, "servers");
    const others = stranger.issue("member");
    await isRefused(
      { servers: strict, tls: { ...files, certFile: others.certificate, keyFile: others.key } },
      "servers",
    );
  });

  it("that is none is refused: nothing is sent in the clear", async () => {
    using authority = certificateAuthority();
    const servers = await urlOfServerWith("");
    await isRefused({ servers, token: SECRET, tls: { caFile: authority.ca } }, "servers");
    await isRefused({ servers: servers.replace("nats:", "tls:"), token: SECRET }, "servers");
  });
});
