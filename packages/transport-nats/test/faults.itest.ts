// A server that restarts, hangs, is away and takes little; and what is no message.

import { PayloadTooLargeError } from "@holdfast/core/adapter";
import { SystemRandom } from "@holdfast/core/internal";
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { startOwnNats } from "../../../test/services/nats.ts";
import { NatsTransport } from "../src/nats-transport.ts";
import { checkOptions } from "../src/options.ts";
import { Member, numberOf, ping } from "./member.ts";
import { clusterOn, FREEZE_MS, outsider, serverWith, type OwnNats } from "./servers.ts";

const hasNats = inject("natsUrl") !== null;
let server: OwnNats;

beforeAll(async () => {
  if (hasNats) server = await startOwnNats();
});

afterAll(async () => {
  await server?.stop();
});

function increases(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0));
}

describe.skipIf(!hasNats)("a server that restarts", () => {
  it("is missed at once; what is sent meanwhile comes back at once; members reach each other after it", async () => {
    const options = clusterOn(server);
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
    const options = clusterOn(server);
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
    const options = clusterOn(server, { keepAliveMs: FREEZE_MS, connectTimeoutMs: FREEZE_MS });
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
    const starting = Member.start(clusterOn(own, { connectTimeoutMs: 60_000 }));
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

describe.skipIf(!hasNats)("a member that is closed while it starts", () => {
  it("leaves no connection behind, and hears nothing", async () => {
    const own = await serverWith("");
    const connections = async (): Promise<number> =>
      ((await (await fetch(`${own.monitorUrl}/varz`)).json()) as { readonly connections: number })
        .connections;
    for (const delayMs of [0, 0, 1, 2, 5, 10, 20]) {
      const transport = new NatsTransport(checkOptions(clusterOn(own)), new SystemRandom());
      const starting = transport.start({
        receive: () => expect.unreachable(),
        undelivered: () => expect.unreachable(),
        disconnected: () => expect.unreachable(),
      });
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      await transport.close(0);
      expect(await starting).toMatch(/^test\./u);
      transport.send("test.nobody", ping("after"));
    }
    // The server may need a moment to notice.
    while ((await connections()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

describe.skipIf(!hasNats)("a server that takes little", () => {
  it("has larger messages refused with its limit, and several smaller ones split to fit", async () => {
    const own = await serverWith("max_payload: 64KB");
    const options = clusterOn(own);
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
    const options = clusterOn(server);
    const client = await outsider(server);
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
    const options = clusterOn(server);
    await using member = await Member.start(options);
    const client = await outsider(server);
    const link = `${options.prefix}.other.1.1`;
    const answer = new Promise<string>((resolve) => {
      client.subscribe(link, { callback: (_, message) => resolve(message.string()) });
    });
    client.publish(member.address, '{"hello":{"version":2}}', { reply: `${link}.1` });
    expect(await answer).toBe('{"bye":{}}');
  });
});
