import { describe, expect, it } from "vitest";
import type { WireMessage } from "../data/wire-message.ts";
import { ConfigError } from "../errors/config.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { MemoryNetwork, type MemoryMember } from "./memory-network.ts";
import { memoryTransport } from "./memory-transport.ts";

const clock = new VirtualClock();

interface Joined {
  readonly member: MemoryMember;
  readonly log: string[];
}

function join(network: MemoryNetwork, address: string | null = null): Joined {
  const log: string[] = [];
  const member = network.join(
    address,
    {
      receive: (from, message) =>
        log.push(`${from}: ${message.type === "ping" ? message.nonce : message.type}`),
      undelivered: (to, message) =>
        log.push(`undelivered ${message.type === "ping" ? message.nonce : message.type} to ${to}`),
      disconnected: (peer) => log.push(`disconnected ${peer}`),
    },
    clock,
  );
  return { member, log };
}

function ping(nonce: string): WireMessage {
  return { type: "ping", nonce };
}

describe("a MemoryNetwork", () => {
  it("lets its conduct lose, repeat, delay and refuse messages", async () => {
    const network = new MemoryNetwork();
    const a = join(network, "a");
    const b = join(network, "b");
    network.conduct = (from, to, message, deliver, refuse) => {
      expect([from, to, message.type]).toEqual(["a", "b", "ping"]);
      if (message.type !== "ping") return;
      if (message.nonce === "twice") deliver();
      if (message.nonce === "late") clock.setTimer(100, deliver);
      else if (message.nonce === "refused") refuse();
      else if (message.nonce !== "lost") deliver();
    };
    for (const nonce of ["late", "lost", "twice", "refused", "once"]) a.member.send("b", ping(nonce));
    await clock.settle();
    expect(b.log).toEqual(["a: twice", "a: twice", "a: once"]);
    expect(a.log).toEqual(["undelivered refused to b"]);
    await clock.advance(100);
    expect(b.log.at(-1)).toBe("a: late");
    network.conduct = null;
    a.member.send("b", ping("plain"));
    await clock.settle();
    expect(b.log.at(-1)).toBe("a: plain");
  });

  it("hands nothing that was on its way to a member to its successor at the same address", async () => {
    const network = new MemoryNetwork();
    const a = join(network, "a");
    const old = join(network, "b");
    network.conduct = (_from, _to, _message, deliver) => {
      clock.setTimer(100, deliver);
    };
    a.member.send("b", ping("1"));
    old.member.leave();
    const next = join(network, "b");
    await clock.advance(100);
    expect([old.log, next.log, a.log]).toEqual([[], [], ["undelivered 1 to b"]]);
  });

  it("gives a member back what had come to it and was not handed over when it left", async () => {
    const network = new MemoryNetwork();
    const a = join(network, "a");
    const b = join(network, "b");
    a.member.send("b", ping("1"));
    b.member.leave();
    await clock.settle();
    expect(b.log).toEqual([]);
    expect(a.log).toEqual(["undelivered 1 to b", "disconnected b"]);
  });

  it("tells both ends of a connection that is cut, once, and none that had none", async () => {
    const network = new MemoryNetwork();
    const a = join(network, "a");
    const b = join(network, "b");
    const c = join(network, "c");
    a.member.send("b", ping("1"));
    await clock.settle();
    network.disconnect("a", "b");
    network.disconnect("a", "b");
    network.disconnect("a", "c");
    await clock.settle();
    expect([a.log, b.log, c.log]).toEqual([["disconnected b"], ["a: 1", "disconnected a"], []]);
  });

  it("lets turns of the event loop pass while members talk without a pause", async () => {
    const network = new MemoryNetwork();
    let talking = true;
    const echo = (address: string): MemoryMember => {
      const member: MemoryMember = network.join(
        address,
        {
          receive: (from, message) => {
            if (talking) member.send(from, message);
          },
          undelivered: () => undefined,
          disconnected: () => undefined,
        },
        clock,
      );
      return member;
    };
    echo("a").send("b", ping("lost"));
    const b = echo("b");
    b.send("a", ping("endless"));
    // Were it all microtasks, this turn would never come.
    await expect(clock.nextTurn()).resolves.toBeUndefined();
    talking = false;
  });

  it("gives an address to one member at a time", async () => {
    const network = new MemoryNetwork();
    const services = { clock, random: { next: () => 0, id: () => "" } };
    const listener = {
      receive: () => undefined,
      undelivered: () => undefined,
      disconnected: () => undefined,
    };
    const adapter = memoryTransport(network, { address: "memory://here" });
    const first = await adapter.open(services);
    const second = await adapter.open(services);
    expect(await first.start(listener)).toBe("memory://here");
    await expect(second.start(listener)).rejects.toBeInstanceOf(ConfigError);
    await first.close(0);
    expect(await second.start(listener)).toBe("memory://here");
  });
});
