// A server that restarts and hangs; peers that die, freeze, come back and read too slowly; and what is no message.

import { PayloadTooLargeError } from "@holdfast/core/adapter";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { startOwnNats } from "../../../test/services/nats.ts";
import type { NatsOptions } from "../src/index.ts";
import { Member, numberOf, ping } from "./member.ts";
import { spawnPeer } from "./spawn-peer.ts";

type OwnNats = Awaited<ReturnType<typeof startOwnNats>>;

const hasNats = inject("natsUrl") !== null;
const FREEZE_MS = 300;
/** Nobody would be missed within a test. */
const NEVER_MS = 600_000;

let server: OwnNats;
let clusters = 0;

beforeAll(async () => {
  if (hasNats) server = await startOwnNats();
});

afterAll(async () => {
  await server?.stop();
});

/** Options of the members of one more cluster. */
function cluster(options: NatsOptions = {}, on: OwnNats = server): NatsOptions {
  clusters += 1;
  return { servers: on.url, prefix: `test${clusters}`, ...options };
}

/** A server for one test, with lines for its configuration file. */
async function serverWith(config: string): Promise<OwnNats> {
  const own = await startOwnNats({ config });
  onTestFinished(() => own.stop());
  return own;
}

/** What a server has counted since its start. */
async function slowConsumers(of: OwnNats): Promise<number> {
  const numbers = (await (await fetch(`${of.monitorUrl}/varz`)).json()) as {
    readonly slow_consumers: number;
  };
  return numbers.slow_consumers;
}

/** A client of the server that is no member. */
async function outsider(on: OwnNats = server): ReturnType<typeof connect> {
  const client = await connect({ servers: on.url });
  onTestFinished(() => client.close());
  return client;
}

function increases(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0));
}

describe.skipIf(!hasNats)("a server that restarts", () => {
  it("is missed at once; what is sent meanwhile comes back at once; members reach each other after it", async () => {
    const options = cluster();
    await using first = await Member.start(options);
    await using second = await Member.start(options);
    expect(await first.reaches(second.address)).toBe(true);
    await server.control.kill("SIGKILL");
    await Promise.all([
      first.until(() => first.gone.includes(second.address)),
      second.until(() => second.gone.includes(first.address)),
    ]);
    first.transport.send(second.address, ping("meanwhile"));
    expect(first.lost).toEqual([]);
    await first.until(() => first.lost.length > 0);
    // It came back for want of a connection: nobody waited for an answer.
    expect(first.lost).toEqual([ping("meanwhile")]);
    expect(first.transport.counters).toMatchObject({ timeOuts: 0, noResponders: 0 });
    await server.control.start();
    await first.untilReaches(second.address);
    await second.untilReaches(first.address);
    expect(second.received).not.toContainEqual(ping("meanwhile"));
    expect([first.transport.counters.reconnects, second.transport.counters.reconnects]).toEqual([1, 1]);
  });

  it("under load loses what it must and says so: the rest comes once and in order, and nothing that was said to be lost", async () => {
    const options = cluster();
    await using first = await Member.start(options);
    await using second = await Member.start(options);
    await first.untilReaches(second.address);
    let sent = 0;
    const load = setInterval(() => {
      for (let index = 0; index < 50; index += 1) {
        sent += 1;
        first.transport.send(second.address, ping(sent));
        second.transport.send(first.address, ping(sent));
      }
    }, 1);
    onTestFinished(() => clearInterval(load));
    for (let round = 0; round < 3; round += 1) {
      const before = first.received.length;
      await first.until(() => first.received.length > before + 1_000);
      await server.control.restart();
    }
    clearInterval(load);
    await first.untilReaches(second.address);
    await second.untilReaches(first.address);
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      const came = to.numbers("ping");
      expect(increases(came)).toBe(true);
      const comes = new Set(came);
      const lost = from.lost.filter(({ type }) => type === "ping").flatMap(numberOf);
      expect(lost.filter((number) => comes.has(number))).toEqual([]);
      expect(increases(lost)).toBe(true);
      expect(comes.size).toBeGreaterThan(0);
      expect(lost.length).toBeGreaterThan(0);
    }
  });
});

describe.skipIf(!hasNats)("a server that hangs", () => {
  it("is missed by both ends; what is sent comes back; members reach each other once it goes on", async () => {
    const options = cluster({ keepAliveMs: FREEZE_MS, connectTimeoutMs: FREEZE_MS });
    await using first = await Member.start(options);
    await using second = await Member.start(options);
    expect(await first.reaches(second.address)).toBe(true);
    await server.control.kill("SIGSTOP");
    onTestFinished(() => server.control.kill("SIGCONT"));
    await Promise.all([
      first.until(() => first.gone.includes(second.address)),
      second.until(() => second.gone.includes(first.address)),
    ]);
    expect(await first.reaches(second.address)).toBe(false);
    await server.control.kill("SIGCONT");
    await first.untilReaches(second.address);
    await second.untilReaches(first.address);
  });
});

describe.skipIf(!hasNats)("a member that starts while no server is there", () => {
  it("waits for one", async () => {
    const own = await serverWith("");
    await own.control.kill("SIGKILL");
    const starting = Member.start(cluster({ connectTimeoutMs: 60_000 }, own));
    await own.control.start();
    await using member = await starting;
    expect(member.address).not.toBe("");
  });

  it("says so in time, with the servers and without what it would have said there", async () => {
    const secret = "a-secret-of-the-cluster";
    const start = Member.start({ servers: "127.0.0.1:1", token: secret, connectTimeoutMs: 100 });
    await expect(start).rejects.toThrow(/"transport.servers" is "127.0.0.1:1".*connection refused/u);
    await expect(start).rejects.not.toThrow(secret);
  });
});

describe.skipIf(!hasNats)("a peer that is not there", () => {
  it("is told from one that does not answer: the first is out of reach at once, whatever the time-out", async () => {
    const options = cluster({ connectTimeoutMs: NEVER_MS });
    await using member = await Member.start(options);
    expect(await member.reaches(`${options.prefix}.nobody`)).toBe(false);
    expect(member.transport.counters).toMatchObject({ noResponders: 1, timeOuts: 0 });
  });

  it("is told from one that does not answer: the second is out of reach when the time is over", async () => {
    const options = cluster({ connectTimeoutMs: FREEZE_MS });
    const client = await outsider();
    client.subscribe(`${options.prefix}.mute`, { callback: () => undefined });
    await client.flush();
    await using member = await Member.start(options);
    expect(await member.reaches(`${options.prefix}.mute`)).toBe(false);
    expect(member.transport.counters).toMatchObject({ noResponders: 0, timeOuts: 1 });
  });

  it("because it was killed is missed, and reached again once it is back under its name", async () => {
    const options = cluster({ keepAliveMs: FREEZE_MS });
    await using member = await Member.start(options);
    const first = await spawnPeer({ ...options, name: "peer" });
    expect(first.address).toBe(`${options.prefix}.peer`);
    expect(await member.reaches(first.address)).toBe(true);
    first.child.kill("SIGKILL");
    await member.until(() => member.gone.includes(first.address));
    await spawnPeer({ ...options, name: "peer" });
    await member.untilReaches(first.address);
    const nonces = member.received.map((message) => ("nonce" in message ? message.nonce : ""));
    expect(new Set(nonces).size).toBe(nonces.length);
  });
});

describe.skipIf(!hasNats)("a peer that freezes", () => {
  it("is missed, and reached again once it goes on", async () => {
    const options = cluster({ keepAliveMs: FREEZE_MS });
    await using member = await Member.start(options);
    const peer = await spawnPeer(options);
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    await member.until(() => member.gone.includes(peer.address));
    peer.child.kill("SIGCONT");
    await member.untilReaches(peer.address);
  });

  it("is forgotten for its successor of the same name, and hears nothing that is meant for that one", async () => {
    const options = cluster({ keepAliveMs: NEVER_MS });
    await using member = await Member.start(options);
    const peer = await spawnPeer({ ...options, name: "peer" });
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    await using successor = await Member.start({ ...options, name: "peer" });
    expect(await successor.reaches(member.address)).toBe(true);
    expect(member.gone).toEqual([peer.address]);
    expect(await member.reaches(peer.address)).toBe(true);
    expect(successor.received.some(({ type }) => type === "ping")).toBe(true);
    peer.child.kill("SIGCONT");
    // Were they both to read what is sent there, there would be an answer too many.
    for (let index = 0; index < 20; index += 1) member.transport.send(peer.address, ping(index));
    await member.until(() => member.numbers("pong").length >= 20);
    expect(await member.reaches(peer.address)).toBe(true);
    expect(member.numbers("pong")).toHaveLength(20);
    expect(member.gone).toEqual([peer.address]);
  });

  it("holds up no memory beyond the bounds and is not cut off: what does not fit comes back, the rest arrives in order", async () => {
    const own = await serverWith("max_pending: 4MB");
    const options = cluster({ keepAliveMs: NEVER_MS }, own);
    await using member = await Member.start({ ...options, maxQueuedBytes: 1_048_576 });
    const peer = await spawnPeer(options);
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    const payload = "x".repeat(100_000);
    let sent = 0;
    while (member.lost.length === 0) {
      sent += 1;
      member.transport.send(peer.address, ping(`${sent} ${payload}`));
      await new Promise((resolve) => setImmediate(resolve));
    }
    // What is on its way, and what waits.
    expect(sent * payload.length).toBeLessThan(2 * (2_097_152 + 1_048_576));
    peer.child.kill("SIGCONT");
    const answers = (): readonly number[] => member.numbers("pong");
    await member.until(() => answers().length === sent - member.lost.length);
    expect(answers()).toEqual(Array.from({ length: answers().length }, (_, index) => index + 1));
    expect(await slowConsumers(own)).toBe(0);
  });

  it("and is cut off by the server, for what others send it, comes back by itself", async () => {
    const own = await serverWith("max_pending: 1MB");
    const options = cluster({ keepAliveMs: FREEZE_MS }, own);
    await using member = await Member.start(options);
    const peer = await spawnPeer(options);
    expect(await member.reaches(peer.address)).toBe(true);
    const client = await outsider(own);
    peer.child.kill("SIGSTOP");
    const noise = new Uint8Array(500_000);
    while ((await slowConsumers(own)) === 0) {
      client.publish(peer.address, noise);
      await client.flush();
    }
    await member.until(() => member.gone.includes(peer.address));
    peer.child.kill("SIGCONT");
    await member.untilReaches(peer.address);
  });
});

describe.skipIf(!hasNats)("a server that takes little", () => {
  it("has larger messages refused with its limit, and several smaller ones split to fit", async () => {
    const own = await serverWith("max_payload: 64KB");
    const options = cluster({}, own);
    await using first = await Member.start(options);
    await using second = await Member.start(options);
    const send = (bytes: number): void => first.transport.send(second.address, ping("x".repeat(bytes)));
    expect(() => send(65_536)).toThrow(PayloadTooLargeError);
    expect(() => send(65_536)).toThrow(/more than the limit of 65408/u);
    for (let index = 0; index < 20; index += 1) send(30_000);
    send(65_000);
    await second.until(() => second.received.length >= 21);
    expect([first.lost, first.gone]).toEqual([[], []]);
  });
});

describe.skipIf(!hasNats)("what is no message", () => {
  it("is counted and dropped; on a link it ends that link, and the process goes on", async () => {
    const options = cluster();
    const client = await outsider();
    const subjects = new Set<string>();
    client.subscribe(`${options.prefix}.>`, { callback: (_, { subject }) => void subjects.add(subject) });
    await client.flush();
    await using first = await Member.start(options);
    await using second = await Member.start(options);
    await using third = await Member.start(options);
    expect(await first.reaches(second.address)).toBe(true);
    expect(await first.reaches(third.address)).toBe(true);
    await client.flush();
    client.publish(first.address, "garbage");
    client.publish(first.address, '{"ack":1}');
    client.publish(first.address, '{"hello":{"version":1,"address":"$SYS.a","link":"$SYS.a.b"}}');
    await client.flush();
    expect(await first.reaches(second.address)).toBe(true);
    expect(first.transport.counters.violations).toBe(3);
    expect(first.gone).toEqual([]);
    for (const subject of subjects) {
      if (subject.startsWith(`${second.address}.`)) client.publish(subject, new Uint8Array([0xff, 0]));
    }
    await first.until(() => first.gone.includes(second.address));
    expect(first.gone).toEqual([second.address]);
    await first.untilReaches(second.address);
    expect(await first.reaches(third.address)).toBe(true);
  });

  it("of another version is refused at once, so that its sender does not wait", async () => {
    const options = cluster();
    await using member = await Member.start(options);
    const client = await outsider();
    const link = `${options.prefix}.other.1.1`;
    const answer = new Promise<string>((resolve) => {
      client.subscribe(link, { callback: (_, message) => resolve(message.string()) });
    });
    client.publish(member.address, '{"hello":{"version":2}}', { reply: `${link}.1` });
    expect(await answer).toBe('{"bye":{}}');
  });
});

describe.skipIf(!hasNats)("two members that call each other at once", () => {
  it("hear everything in order, once, in each of many rounds", async () => {
    for (let round = 0; round < 20; round += 1) {
      const options = cluster();
      await using first = await Member.start(options);
      await using second = await Member.start(options);
      for (let index = 0; index < 100; index += 1) {
        first.transport.send(second.address, ping(index));
        second.transport.send(first.address, ping(index));
        if (index % 10 === round % 10) await new Promise((resolve) => setImmediate(resolve));
      }
      await first.until(() => first.received.length >= 200);
      await second.until(() => second.received.length >= 200);
      const all = Array.from({ length: 100 }, (_, index) => index);
      expect([first.numbers("ping"), second.numbers("ping")]).toEqual([all, all]);
      expect([first.gone, second.gone]).toEqual([[], []]);
    }
  });
});
