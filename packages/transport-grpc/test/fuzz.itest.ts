// Whatever anybody sends to the port, good traffic goes on and memory stays flat.
//
// FUZZ_FRAMES sets how many frames are read in all. The seed of a run is in its name; FUZZ_SEED repeats it.

import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { encodeMessage } from "../src/codec.ts";
import { HealthService } from "../src/health.ts";
import { Link, type FrameStream } from "../src/link.ts";
import { encodeHello, packFrame, PROTOCOL_VERSION, service } from "../src/protocol.ts";
import { Member, ping } from "./member.ts";

const FRAMES = Number(process.env["FUZZ_FRAMES"] ?? 20_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const STREAMS = Math.min(2_000, FRAMES);
const CONNECTIONS = 300;
const HELLO = encodeHello({
  protocolVersion: PROTOCOL_VERSION,
  address: "127.0.0.1:1",
  instanceId: "x",
  maxMessageBytes: 65_536,
});
const VALID: readonly Buffer[] = [
  HELLO,
  packFrame([encodeMessage(ping("a nonce"), 65_536)]),
  packFrame([
    encodeMessage(
      {
        type: "request",
        envelope: {
          requestId: "0190b2c0a3e07fff8000000000000001",
          address: { entityType: "Counter", entityId: "a", shardId: "default:7" },
          tag: "increment",
          payload: '{"amount":1}',
          headers: { tenant: "a" },
          persisted: true,
          expects: "reply",
          deduplicationKey: null,
          deliverAt: 1,
          uninterruptible: false,
          fromInside: false,
          sender: "s",
          readPendingFirst: false,
        },
      },
      65_536,
    ),
  ]),
];

describe(`fuzzed input, seed ${SEED}`, () => {
  it(`${FRAMES} frames, random or changed from valid ones, are read without harm`, async () => {
    const chance = generator(SEED);
    const read = async (count: number): Promise<{ violations: number; received: number }> => {
      const counts = { violations: 0, received: 0 };
      for (let index = 0; index < count; index += 1) {
        const { stream, deliver } = silentStream();
        const link = new Link({
          stream,
          own: {
            protocolVersion: PROTOCOL_VERSION,
            address: "127.0.0.1:2",
            instanceId: "y",
            maxMessageBytes: 65_536,
          },
          bounds: { maxMessages: 10, maxBytes: 1_000 },
          helloTimeoutMs: 60_000,
          cancel: (violation) => {
            if (violation !== null) counts.violations += 1;
          },
          opened: () => undefined,
          receive: () => {
            counts.received += 1;
          },
          tooLarge: () => undefined,
          closed: () => undefined,
        });
        // Half of them come after a good start.
        if (index % 2 === 0) deliver(HELLO);
        deliver(fuzzed(chance));
        link.close();
        if (index % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      return counts;
    };
    const first = await read(FRAMES / 2);
    const before = heapUsed();
    const second = await read(FRAMES / 2);
    const grown = heapUsed() - before;
    expect(first.violations + second.violations).toBeGreaterThan(FRAMES / 4);
    expect(grown).toBeLessThan(4 * 1_048_576);
    console.log(
      `${FRAMES} frames: ${first.violations + second.violations} refused, ${first.received + second.received} messages ` +
        `read; the heap changed by ${Math.round(grown / 1_024)} KiB over the second half`,
    );
  });

  it("a member goes on while strangers send random bytes, HTTP/2 frames and messages to its port", async () => {
    const chance = generator(SEED + 1);
    await using member = await Member.start({ connectTimeoutMs: 1_000 });
    await using friend = await Member.start();
    expect(await friend.reaches(member.address)).toBe(true);
    const before = heapUsed();
    for (let index = 0; index < CONNECTIONS; index += 1) {
      await throwAt(member.address, chance);
      if (index % 50 === 0) expect(await friend.reaches(member.address)).toBe(true);
    }
    const client = new Client(member.address, credentials.createInsecure());
    for (let index = 0; index < STREAMS; index += 20) {
      await Promise.all(Array.from({ length: 10 }, () => streamAt(client, chance)));
      if (index % 500 === 0) expect(await friend.reaches(member.address)).toBe(true);
    }
    client.close();
    expect(await friend.reaches(member.address)).toBe(true);
    expect(friend.gone).toEqual([]);
    expect(member.transport.counters.violations).toBeGreaterThan(0);
    expect(heapUsed() - before).toBeLessThan(16 * 1_048_576);
  });
});

describe("health, which is open to everybody", () => {
  it("keeps nothing of the names of services that strangers watched", async () => {
    await using member = await Member.start({ token: "a-secret-of-the-cluster" });
    const client = new Client(member.address, credentials.createInsecure());
    const { path, requestSerialize, responseDeserialize } = healthService["Watch"] as NonNullable<
      (typeof healthService)[string]
    >;
    const watch = (name: string): Promise<void> =>
      new Promise((resolve) => {
        const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {
          service: name,
        });
        stream.on("data", () => stream.cancel());
        stream.on("error", () => resolve());
      });
    const long = "x".repeat(200_000);
    const watchMany = async (count: number): Promise<number> => {
      for (let index = 0; index < count; index += 1) await watch(`${count} ${index} ${long}`);
      return heapUsed();
    };
    const before = await watchMany(10);
    expect((await watchMany(100)) - before).toBeLessThan(4 * 1_048_576);
    client.close();
  });

  it("keeps no call of theirs whose time was over before the whole of its question came", async () => {
    const health = new HealthService("a service");
    const server = new HealthServer();
    onTestFinished(() => server.forceShutdown());
    health.addToServer(server);
    const session = connectHttp2(`http://127.0.0.1:${await server.listen()}`);
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Watch",
      "content-type": "application/grpc",
      "grpc-timeout": "500m",
    });
    // An empty message, which asks for the member as a whole.
    stream.write(Buffer.alloc(5));
    await once(stream, "response");
    stream.end();
    const call = await server.watched;
    health.stopServing();
    // What it was told first never went out, and nothing came after that.
    expect(call.writableLength).toBe(1);
  });
});

type WatchCall = ServerWritableStream<unknown, unknown>;

class HealthServer extends Server {
  #show: ((call: WatchCall) => void) | undefined;
  /** The first call that watches health, once that was told of it. */
  readonly watched: Promise<WatchCall> = new Promise((resolve) => (this.#show = resolve));

  override addService(
    definition: ServiceDefinition,
    { watch, ...others }: UntypedServiceImplementation,
  ): void {
    const watching = (call: WatchCall): void => {
      (watch as typeof watching)(call);
      this.#show?.(call);
    };
    super.addService(definition, { ...others, watch: watching });
  }

  listen(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
  }
}

/** A stream of a peer that never answers, and what delivers a frame of its to the other end. */
function silentStream(): { readonly stream: FrameStream; readonly deliver: (frame: Buffer) => void } {
  const listeners: ((frame: Buffer) => void)[] = [];
  return {
    stream: {
      write: () => true,
      end: () => undefined,
      on: (event: string, listener: (...args: never[]) => void) => {
        if (event === "data") listeners.push(listener as (frame: Buffer) => void);
      },
    },
    deliver: (frame) => {
      for (const listener of listeners) listener(frame);
    },
  };
}

/** Random bytes, or a valid frame with some bytes changed, cut, doubled or added. */
function fuzzed(chance: () => number): Buffer {
  if (chance() < 0.3) return bytes(chance, Math.floor(chance() * 200));
  const frame = Buffer.from(VALID[Math.floor(chance() * VALID.length)] ?? HELLO);
  for (let changes = 1 + Math.floor(chance() * 4); changes > 0; changes -= 1)
    frame[Math.floor(chance() * frame.length)] = Math.floor(chance() * 256);
  const cut = frame.subarray(0, chance() < 0.2 ? Math.floor(chance() * frame.length) : frame.length);
  return chance() < 0.2 ? Buffer.concat([cut, chance() < 0.5 ? cut : bytes(chance, 20)]) : cut;
}

function bytes(chance: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(chance() * 256)));
}

/** Connects, sends random bytes, some of them framed as HTTP/2, and waits until it is thrown out or has been heard. */
function throwAt(address: string, chance: () => number): Promise<void> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
    if (chance() < 0.7) socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for (let frames = Math.floor(chance() * 5); frames >= 0; frames -= 1) {
      const payload = bytes(chance, Math.floor(chance() * 100));
      const header = Buffer.from([
        0,
        0,
        payload.length,
        Math.floor(chance() * 12),
        Math.floor(chance() * 256),
        0,
        0,
        0,
        1,
      ]);
      socket.write(chance() < 0.7 ? Buffer.concat([header, payload]) : payload);
    }
    socket.end();
  });
}

/** Opens a stream as a peer does, and sends fuzzed frames on it until it is over. */
function streamAt(client: Client, chance: () => number): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = service["Connect"] as NonNullable<
    (typeof service)[string]
  >;
  return new Promise((resolve) => {
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    stream.on("error", () => undefined);
    stream.on("status", () => resolve());
    stream.resume();
    if (chance() < 0.5) stream.write(HELLO);
    stream.write(fuzzed(chance));
    stream.write(fuzzed(chance));
    stream.end();
  });
}

function heapUsed(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Mulberry32: public domain, by Tommy Ettinger. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
