// Who gets in, and who does not.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createServer as createSecureServer } from "node:tls";
import {
  Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  status,
  type ClientDuplexStream,
  type ClientReadableStream,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { GrpcOptions, GrpcTls } from "../src/options.ts";
import { certificateAuthority, type Certificates } from "../../../test/services/certificates.ts";
import { encodeMessage } from "../src/codec.ts";
import { encodeHello, packFrame, PROTOCOL_VERSION, service as transportService } from "../src/protocol.ts";
import { Member, ping } from "./member.ts";

const TOKEN = "a-secret-of-the-cluster";

describe("a token", () => {
  it.each<[string, GrpcOptions]>([
    ["none", {}],
    ["another one", { token: "another-secret-of-the-cluster" }],
  ])("lets nobody in who brings %s, and disturbs nobody else", async (_, options) => {
    await using guarded = await Member.start({ token: TOKEN });
    await using friend = await Member.start({ token: TOKEN });
    await using stranger = await Member.start(options);
    expect(await stranger.reaches(guarded.address)).toBe(false);
    expect(guarded.received).toEqual([]);
    expect(guarded.transport.counters.refused).toBeGreaterThan(0);
    expect(await friend.reaches(guarded.address)).toBe(true);
  });
});

describe("TLS", () => {
  let ours: Certificates;
  let theirs: Certificates;
  let good: GrpcTls;
  let other: GrpcTls;

  beforeAll(() => {
    ours = certificateAuthority();
    theirs = certificateAuthority();
    good = { ...ours.issue("member"), ca: ours.ca };
    other = { ...ours.issue("other"), ca: ours.ca };
  });
  afterAll(() => {
    ours[Symbol.dispose]();
    theirs[Symbol.dispose]();
  });

  it("carries messages both ways between members that both have certificates of the authority", async () => {
    await using first = await Member.start({ tls: good });
    await using second = await Member.start({ tls: other, token: TOKEN });
    await using third = await Member.start({ tls: other });
    expect(await first.reaches(third.address)).toBe(true);
    expect(await third.reaches(first.address)).toBe(true);
    // Both are asked for: a certificate does not stand in for the token.
    expect(await first.reaches(second.address)).toBe(false);
  });

  it.each(["before the handshake", "after it"])(
    "ends connections on which the other end says nothing, %s",
    async (when) => {
      const keys = { cert: readFileSync(good.certificate), key: readFileSync(good.key) };
      const secure = createSecureServer({ ...keys, ALPNProtocols: ["h2"] });
      const listener = createServer();
      listener.listen(0, "127.0.0.1");
      await once(listener, "listening");
      onTestFinished(() => void listener.close());
      const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
      let [taken, open, secured] = [0, 0, 0];
      secure.on("secureConnection", () => (secured += 1));
      listener.on("connection", (socket) => {
        taken += 1;
        open += 1;
        socket.on("error", () => undefined);
        socket.on("close", () => (open -= 1));
        if (when === "after it") secure.emit("connection", socket);
        else socket.resume();
      });
      await using member = await Member.start({ tls: other, connectTimeoutMs: 200 });
      for (let tries = 0; tries < 6; tries += 1) {
        expect(await member.reaches(address)).toBe(false);
        expect(open).toBeLessThanOrEqual(2);
      }
      // Another one was made in the place of each.
      expect(taken).toBeGreaterThan(1);
      expect(secured > 0).toBe(when === "after it");
    },
  );

  it("refuses who shows no certificate, one of another authority, one that is over, or speaks no TLS", async () => {
    await using guarded = await Member.start({ tls: good });
    const strangers: Record<string, GrpcOptions> = {
      "of another authority": { tls: { ...theirs.issue("stranger"), ca: ours.ca } },
      over: { tls: { ...ours.issueExpired("late"), ca: ours.ca } },
      "no TLS": {},
    };
    for (const [what, options] of Object.entries(strangers)) {
      await using stranger = await Member.start(options);
      expect([what, await stranger.reaches(guarded.address)]).toEqual([what, false]);
    }
    // What a client without any certificate gets.
    const bare = new Client(guarded.address, credentials.createSsl(await pemOf(ours.ca)));
    await expect(check(bare)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    bare.close();
    expect(guarded.received).toEqual([]);
    await using friend = await Member.start({ tls: other });
    expect(await friend.reaches(guarded.address)).toBe(true);
  });

  it("sends nothing to a member whose certificate is of another authority", async () => {
    await using impostor = await Member.start({
      tls: { ...theirs.issue("impostor"), ca: ours.ca, clientAuth: false },
    });
    await using member = await Member.start({ tls: good });
    expect(await member.reaches(impostor.address)).toBe(false);
    expect(impostor.received).toEqual([]);
  });

  it("asks for no certificate where clientAuth is false", async () => {
    await using open = await Member.start({ tls: { ...good, clientAuth: false } });
    const client = new Client(open.address, credentials.createSsl(await pemOf(ours.ca)));
    expect(await check(client)).toBe("SERVING");
    client.close();
  });
});

describe("health and reflection", () => {
  it("say SERVING, and list the services to a client that knows nothing else", async () => {
    await using member = await Member.start();
    const client = new Client(member.address, credentials.createInsecure());
    expect(await check(client)).toBe("SERVING");
    expect(await check(client, "holdfast.transport.v1.Transport")).toBe("SERVING");
    expect(await services(client)).toEqual(
      expect.arrayContaining(["holdfast.transport.v1.Transport", "grpc.health.v1.Health"]),
    );
    client.close();
  });

  it("know no other service, and tell who watches a known one when the member closes", async () => {
    const member = await Member.start();
    onTestFinished(() => member[Symbol.asyncDispose]());
    const client = new Client(member.address, credentials.createInsecure());
    onTestFinished(() => client.close());
    await expect(check(client, "x")).rejects.toMatchObject({ code: status.NOT_FOUND });
    const told: unknown[] = [];
    const watch = async (service: string): Promise<void> => {
      const stream = watched(client, service);
      onTestFinished(() => stream.cancel());
      stream.on("data", ({ status: health }: { status: unknown }) =>
        told.push(`${service}: ${String(health)}`),
      );
      await once(stream, "data");
    };
    await watch("x");
    await watch("");
    const closing = member.transport.close(500);
    await expect
      .poll(() => told, { timeout: 10_000 })
      .toEqual(["x: SERVICE_UNKNOWN", ": SERVING", ": NOT_SERVING"]);
    await closing;
  });

  it("show health to everybody and reflection to who has the token", async () => {
    await using member = await Member.start({ token: TOKEN });
    const client = new Client(member.address, credentials.createInsecure());
    expect(await check(client)).toBe("SERVING");
    await expect(services(client)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${TOKEN}`);
    expect(await services(client, metadata)).toContain("holdfast.transport.v1.Transport");
    client.close();
  });
});

describe("limits", () => {
  it("takes no more connections than it may, and those that it has go on", async () => {
    await using busy = await Member.start({ maxConnections: 1 });
    await using first = await Member.start();
    await using second = await Member.start();
    expect(await first.reaches(busy.address)).toBe(true);
    expect(await second.reaches(busy.address)).toBe(false);
    expect(busy.transport.counters.overLimit).toBe(1);
    expect(await first.reaches(busy.address)).toBe(true);
  });

  it("cuts off who sends a larger message than it takes", async () => {
    await using small = await Member.start({ maxMessageBytes: 65_536 });
    await using other = await Member.start();
    expect(await other.reaches(small.address)).toBe(true);
    const { stream, ended } = strangerAt(small.address);
    stream.write(
      encodeHello({
        protocolVersion: PROTOCOL_VERSION,
        address: "127.0.0.1:1",
        instanceId: "x",
        maxMessageBytes: 0,
      }),
    );
    stream.write(packFrame([encodeMessage(ping("x".repeat(200_000)), 300_000)]));
    expect((await ended).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(small.received).toHaveLength(1);
    expect(await other.reaches(small.address)).toBe(true);
    expect(other.gone).toEqual([]);
  });

  it("tells a peer of another version that it is one", async () => {
    await using member = await Member.start();
    const { stream, ended } = strangerAt(member.address);
    stream.write(
      encodeHello({ protocolVersion: 99, address: "127.0.0.1:1", instanceId: "x", maxMessageBytes: 0 }),
    );
    expect((await ended).code).toBe(status.FAILED_PRECONDITION);
  });

  it("closes on who connects and never says who it is", async () => {
    await using member = await Member.start({ connectTimeoutMs: 200, keepAliveMs: 200 });
    const [host = "", port = ""] = member.address.split(":");
    const socket = connect(Number(port), host);
    socket.on("error", () => undefined);
    socket.resume();
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    await using friend = await Member.start();
    expect(await friend.reaches(member.address)).toBe(true);
    socket.destroy();
  });
});

async function pemOf(file: string): Promise<Buffer> {
  const { readFile } = await import("node:fs/promises");
  return readFile(file);
}

type Method = {
  path: string;
  requestSerialize(value: object): Buffer;
  responseDeserialize(bytes: Buffer): unknown;
};

/** A stream as a peer opens it, and how it ends. */
function strangerAt(address: string): {
  readonly stream: ClientDuplexStream<Buffer, unknown>;
  readonly ended: Promise<{ readonly code?: number }>;
} {
  const client = new Client(address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const { path, requestSerialize, responseDeserialize } = transportService["Connect"] as Method;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  stream.resume();
  return { stream, ended: new Promise((resolve) => stream.on("error", resolve)) };
}

/** The health of a service, as any client of grpc.health.v1 learns it. */
function check(client: Client, service = ""): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = healthMethod("Check");
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (error, response) =>
      error === null ? resolve((response as { status: unknown }).status) : reject(error),
    );
  });
}

/** What a client that watches a service's health is told. */
function watched(client: Client, service: string): ClientReadableStream<unknown> {
  const { path, requestSerialize, responseDeserialize } = healthMethod("Watch");
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
  return stream.on("error", () => undefined);
}

function healthMethod(name: string): Method {
  const health: unknown = loadSync(healthProto, { enums: String })["grpc.health.v1.Health"];
  return (health as Record<string, Method>)[name] as Method;
}

/** The services of a member, as grpcurl lists them. */
function services(client: Client, metadata = new Metadata()): Promise<readonly string[]> {
  const folder = dirname(createRequire(import.meta.url).resolve("@grpc/reflection/package.json"));
  const definitions = loadSync("grpc/reflection/v1/reflection.proto", {
    includeDirs: [join(folder, "build/proto")],
    oneofs: true,
  });
  expect(loadPackageDefinition(definitions)).toHaveProperty("grpc");
  const { path, requestSerialize, responseDeserialize } = (
    definitions["grpc.reflection.v1.ServerReflection"] as unknown as Record<string, Method>
  )["ServerReflectionInfo"] as Method;
  return new Promise((resolve, reject) => {
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    stream.on(
      "data",
      ({ listServicesResponse }: { listServicesResponse: { service: { name: string }[] } }) => {
        resolve(listServicesResponse.service.map(({ name }) => name));
        stream.end();
      },
    );
    stream.on("error", reject);
    stream.write({ listServices: "" });
  });
}
