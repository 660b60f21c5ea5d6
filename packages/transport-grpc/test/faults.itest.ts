// Peers that die, freeze, come back and read too slowly.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { freePort } from "../../../test/services/free-port.ts";
import { Client, credentials, type ClientDuplexStream } from "@grpc/grpc-js";
import { encodeMessage } from "../src/codec.ts";
import { encodeHello, packFrame, PROTOCOL_VERSION, service } from "../src/protocol.ts";
import { Member, ping } from "./member.ts";

/** Starts a member in a process of its own. */
async function spawnPeer(
  listen = "127.0.0.1:0",
): Promise<{ readonly address: string; readonly child: ChildProcess }> {
  const program = fileURLToPath(new URL("peer.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", program, listen], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (data: Buffer) => {
      const found = /listening at (?<address>\S+)/u.exec(data.toString());
      if (found?.groups !== undefined) resolve(found.groups["address"] ?? "");
    });
    child.once("exit", (code) => reject(new Error(`The peer ended with ${code}`)));
  });
  return { address, child };
}

/** Stands between a member and its peers at an address of its own. */
class Relay {
  readonly address: string;
  /** Takes connections, and does nothing with them. */
  isSilent = false;
  readonly #sockets = new Set<Socket>();

  private constructor(address: string) {
    this.address = address;
  }

  static async start(targetPort: number): Promise<Relay> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const relay = new Relay(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on("connection", (socket) => relay.#take(socket, targetPort));
    onTestFinished(() => {
      server.close();
      relay.cut();
    });
    return relay;
  }

  /** Both ends of what it relays count, and connections that it only took. */
  get sockets(): number {
    return this.#sockets.size;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: Socket, targetPort: number): void {
    this.#keep(socket);
    if (this.isSilent) return void socket.resume();
    const onward = this.#keep(connect(targetPort, "127.0.0.1"));
    socket.pipe(onward).pipe(socket);
    socket.on("close", () => onward.destroy());
    onward.on("close", () => socket.destroy());
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }
}

/** A member behind a relay. */
async function startBehindRelay(): Promise<{ readonly relay: Relay; readonly peer: Member }> {
  const port = await freePort();
  const relay = await Relay.start(port);
  const peer = await Member.start({ listen: `127.0.0.1:${port}`, advertise: relay.address });
  onTestFinished(() => peer[Symbol.asyncDispose]());
  return { relay, peer };
}

/** A stream as a peer opens it. */
function linkTo(address: string): ClientDuplexStream<Buffer, Buffer> {
  const client = new Client(address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const { path, requestSerialize, responseDeserialize } = service["Connect"] as NonNullable<
    (typeof service)[string]
  >;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  stream.on("error", () => undefined);
  return stream as ClientDuplexStream<Buffer, Buffer>;
}

/** A link that this start of a peer opens, and on which the member has heard it. */
async function openLink(
  member: Member,
  address: string,
  instanceId: string,
  nonce: string,
): Promise<ClientDuplexStream<Buffer, Buffer>> {
  const stream = linkTo(member.address);
  stream.write(encodeHello({ protocolVersion: PROTOCOL_VERSION, address, instanceId, maxMessageBytes: 0 }));
  stream.write(packFrame([encodeMessage(ping(nonce), 1_000)]));
  await member.until(() => member.received.some((message) => "nonce" in message && message.nonce === nonce));
  return stream;
}

async function untilReached(member: Member, address: string): Promise<void> {
  while (!(await member.reaches(address))) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe("a peer that is killed", () => {
  it("is missed at once, and reached again once it is back at its address", async () => {
    await using member = await Member.start();
    const first = await spawnPeer();
    expect(await member.reaches(first.address)).toBe(true);
    first.child.kill("SIGKILL");
    await member.until(() => member.gone.includes(first.address));
    expect(await member.reaches(first.address)).toBe(false);
    await spawnPeer(first.address);
    await untilReached(member, first.address);
    // What came before and after the restart is in order, and nothing came twice.
    const nonces = member.received.map((message) => ("nonce" in message ? message.nonce : ""));
    expect(new Set(nonces).size).toBe(nonces.length);
  });
});

describe("a peer that freezes", () => {
  it("is missed by the one that sends and by the one that waits, and reached again once it goes on", async () => {
    await using member = await Member.start({ keepAliveMs: 300 });
    const peer = await spawnPeer();
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    await member.until(() => member.gone.includes(peer.address));
    peer.child.kill("SIGCONT");
    await untilReached(member, peer.address);
  });

  it("is forgotten for its successor at its address, which gets its answers at once", async () => {
    // Nobody would miss the frozen one within this test.
    await using member = await Member.start({ keepAliveMs: 600_000 });
    const peer = await spawnPeer();
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    await using successor = await Member.start({ advertise: peer.address });
    expect(await successor.reaches(member.address)).toBe(true);
    expect(member.gone).toEqual([peer.address]);
    // And what the member sends there goes to the successor.
    expect(await member.reaches(peer.address)).toBe(true);
    expect(successor.received.some(({ type }) => type === "ping")).toBe(true);
  });

  it("is missed with all of its links before its successor is heard, and not once more after that (G4)", async () => {
    await using member = await Member.start({ keepAliveMs: 600_000 });
    const address = "127.0.0.1:1";
    // Where both ends open one at once there are two, and each is sent on by one end.
    await openLink(member, address, "first", "1");
    await openLink(member, address, "first", "2");
    expect(member.gone).toEqual([]);
    await openLink(member, address, "successor", "3");
    expect(member.gone).toEqual([address, address]);
  });

  it("takes nothing with it that waits for its successor (G4)", async () => {
    await using member = await Member.start({ keepAliveMs: 600_000 });
    const address = `127.0.0.1:${await freePort()}`;
    const current = await openLink(member, address, "first", "1");
    await openLink(member, address, "first", "2");
    current.cancel();
    await member.until(() => member.gone.length === 1);
    await using successor = await Member.start({ listen: address });
    member.transport.send(address, ping("queued"));
    await member.until(() => member.gone.length === 2);
    expect(member.lost).toEqual([ping("queued")]);
    expect(await member.reaches(address)).toBe(true);
    expect(successor.received).not.toContainEqual(ping("queued"));
  });

  it("holds up no memory beyond the bounds: what does not fit comes back as undelivered", async () => {
    await using member = await Member.start({ keepAliveMs: 60_000, maxQueuedBytes: 1_048_576 });
    const peer = await spawnPeer();
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    const payload = "x".repeat(100_000);
    let sent = 0;
    while (member.lost.length === 0) {
      member.transport.send(peer.address, ping(`${sent} ${payload}`));
      sent += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Sockets take some; the queue one megabyte.
    expect(sent * payload.length).toBeLessThan(64 * 1_048_576);
    peer.child.kill("SIGCONT");
    // All that was not refused arrives, in order.
    const answers = (): readonly string[] =>
      member.received.flatMap((message) => (message.type === "pong" ? [message.nonce.slice(0, 10)] : []));
    await member.until(() => answers().length >= sent + 1 - member.lost.length);
    const numbers = answers()
      .slice(1)
      .map((nonce) => Number(nonce.split(" ")[0]));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });
});

describe("a peer at whose address connections are taken and not answered", () => {
  it("is reached again as soon as they are", async () => {
    const { relay, peer } = await startBehindRelay();
    await using member = await Member.start({ connectTimeoutMs: 300 });
    expect(await member.reaches(peer.address)).toBe(true);
    relay.isSilent = true;
    relay.cut();
    await member.until(() => member.gone.includes(peer.address));
    // The client library opens another connection by itself, and would wait on it.
    for (let tries = 0; tries < 6; tries += 1) {
      expect(await member.reaches(peer.address)).toBe(false);
      expect(relay.sockets).toBeLessThanOrEqual(2);
    }
    relay.isSilent = false;
    await untilReached(member, peer.address);
  });

  it("is sent to on a link that it opened itself", async () => {
    const { relay, peer } = await startBehindRelay();
    relay.isSilent = true;
    await using member = await Member.start({ connectTimeoutMs: 2_000 });
    member.transport.send(peer.address, ping("out"));
    peer.transport.send(member.address, ping("in"));
    await member.until(() => member.lost.some(({ type }) => type === "ping"));
    expect(await member.reaches(peer.address)).toBe(true);
    expect(peer.received).not.toContainEqual(ping("out"));
  });
});

describe("two members that call each other at once", () => {
  it("hear everything in order, once, in each of many rounds", async () => {
    for (let round = 0; round < 20; round += 1) {
      await using first = await Member.start();
      await using second = await Member.start();
      for (let index = 0; index < 100; index += 1) {
        first.transport.send(second.address, ping(index));
        second.transport.send(first.address, ping(index));
        if (index % 10 === round % 10) await new Promise((resolve) => setImmediate(resolve));
      }
      const pings = (member: Member): readonly number[] =>
        member.received.flatMap((message) => (message.type === "ping" ? [Number(message.nonce)] : []));
      await first.until(() => first.received.length >= 200);
      await second.until(() => second.received.length >= 200);
      const all = Array.from({ length: 100 }, (_, index) => index);
      expect([pings(first), pings(second)]).toEqual([all, all]);
    }
  });
});
