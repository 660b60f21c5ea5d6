// Peers that are not there, die, freeze, come back and read too slowly.

import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startOwnNats } from "../../../test/services/nats.ts";
import { decodeFrame, encodeGreeting } from "../src/frame.ts";
import { Member, ping } from "./member.ts";
import {
  clusterOn,
  FREEZE_MS,
  NEVER_MS,
  outsider,
  serverWith,
  slowConsumers,
  type OwnNats,
} from "./servers.ts";
import { spawnPeer } from "./spawn-peer.ts";

const hasNats = inject("natsUrl") !== null;
let server: OwnNats;

beforeAll(async () => {
  if (hasNats) server = await startOwnNats();
});

afterAll(async () => {
  await server?.stop();
});

describe.skipIf(!hasNats)("a peer that is not there", () => {
  it("is told from one that does not answer: the first is out of reach at once, whatever the time-out", async () => {
    const options = clusterOn(server, { connectTimeoutMs: NEVER_MS });
    await using member = await Member.start(options);
    expect(await member.reaches(`${options.prefix}.nobody`)).toBe(false);
    expect(member.transport.counters).toMatchObject({ noResponders: 1, timeOuts: 0 });
  });

  it("is told from one that does not answer: the second is out of reach when the time is over", async () => {
    const options = clusterOn(server, { connectTimeoutMs: FREEZE_MS });
    const client = await outsider(server);
    client.subscribe(`${options.prefix}.mute`, { callback: () => undefined });
    await client.flush();
    await using member = await Member.start(options);
    expect(await member.reaches(`${options.prefix}.mute`)).toBe(false);
    expect(member.transport.counters).toMatchObject({ noResponders: 0, timeOuts: 1 });
  });

  it("because it was killed is missed, and reached again once it is back under its name", async () => {
    const options = clusterOn(server, { keepAliveMs: FREEZE_MS });
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

describe.skipIf(!hasNats)("a peer that greets anew", () => {
  it("hears on its new link what is sent as soon as the old one is gone, and is not greeted", async () => {
    const options = clusterOn(server);
    const address = `${options.prefix}.peer`;
    const client = await outsider(server);
    const heard: (readonly [subject: string, kind: string])[] = [];
    let answered: (() => void) | null = null;
    client.subscribe(`${address}.>`, {
      callback: (_, { subject, data }) => {
        heard.push([subject, decodeFrame(data).kind]);
        answered?.();
      },
    });
    client.subscribe(address, { callback: (_, { subject }) => void heard.push([subject, "greeted"]) });
    await using member = await Member.start(options);
    const until = async (frames: number): Promise<void> => {
      while (heard.length < frames) await new Promise<void>((resolve) => (answered = resolve));
    };
    const greet = (link: string): void => {
      client.publish(member.address, encodeGreeting("hello", { address, link }), { reply: `${link}.none` });
    };
    greet(`${address}.1.1`);
    await until(1);
    member.onGone = (peer) => member.transport.send(peer, ping("at once"));
    greet(`${address}.2.1`);
    await until(4);
    expect(heard).toEqual([
      [`${address}.1.1`, "welcome"],
      [`${address}.1.1`, "bye"],
      [`${address}.2.1`, "welcome"],
      [`${address}.2.1`, "data"],
    ]);
    expect(member.gone).toEqual([address]);
    member.onGone = null;
  });
});

describe.skipIf(!hasNats)("a peer that freezes", () => {
  it("is missed, and reached again once it goes on", async () => {
    const options = clusterOn(server, { keepAliveMs: FREEZE_MS });
    await using member = await Member.start(options);
    const peer = await spawnPeer(options);
    expect(await member.reaches(peer.address)).toBe(true);
    peer.child.kill("SIGSTOP");
    await member.until(() => member.gone.includes(peer.address));
    peer.child.kill("SIGCONT");
    await member.untilReaches(peer.address);
  });

  it("is forgotten for its successor of the same name, and hears nothing that is meant for that one", async () => {
    const options = clusterOn(server, { keepAliveMs: NEVER_MS });
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
    const options = clusterOn(own, { keepAliveMs: NEVER_MS });
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
    const options = clusterOn(own, { keepAliveMs: FREEZE_MS });
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

describe.skipIf(!hasNats)("two members that call each other at once", () => {
  it("hear everything in order, once, in each of many rounds", async () => {
    for (let round = 0; round < 20; round += 1) {
      const options = clusterOn(server);
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
