import { describe, expect, it } from "vitest";
import { SeededRandom } from "../clock/seeded-random.ts";
import { VirtualClock } from "../clock/virtual-clock.ts";
import { PeerHealth } from "./peer-health.ts";

const INTERVAL_MS = 2_000;

/** Peers that answer after `answerMs`, but for those in `silent`. */
class Peers {
  readonly clock = new VirtualClock();
  readonly view = this.clock.view();
  readonly silent = new Set<string>();
  answerMs = 10;
  readonly changes: string[] = [];
  runners: readonly { address: string; runnerId: string }[] = [
    { address: "a", runnerId: "1" },
    { address: "b", runnerId: "2" },
  ];
  pings = 0;
  /** The nonces of pings, by address. */
  readonly sent = new Map<string, string[]>();
  missing = 0;
  readonly health = new PeerHealth({
    clock: this.view,
    random: new SeededRandom(1, () => this.clock.now()),
    intervalMs: INTERVAL_MS,
    peers: () => this.runners,
    ping: (address, nonce) => {
      this.pings += 1;
      this.sent.set(address, [...(this.sent.get(address) ?? []), nonce]);
      if (!this.silent.has(address)) this.view.setTimer(this.answerMs, () => this.health.pong(nonce));
    },
    changed: (address, isReachable) =>
      void this.changes.push(`${address} ${isReachable ? "answers" : "is silent"}`),
    missing: () => void (this.missing += 1),
  });
}

describe("peer health", () => {
  it("takes a peer for reachable until three pings in a row had no answer (P1, P2)", async () => {
    const peers = new Peers();
    peers.silent.add("b");
    expect(peers.health.isReachable("b")).toBe(true);
    peers.health.start();
    await peers.clock.advance(3 * INTERVAL_MS);
    expect(peers.health.unreachable).toEqual([]);
    await peers.clock.advance(INTERVAL_MS);
    expect(peers.health.unreachable).toEqual(["b"]);
    expect([peers.health.isReachable("a"), peers.health.isReachable("b")]).toEqual([true, false]);
    expect(peers.changes).toEqual(["b is silent"]);
    expect(peers.missing).toBeGreaterThan(0);
  });

  it("takes it for reachable again after two answers in a row, and not after one now and then", async () => {
    const peers = new Peers();
    peers.silent.add("b");
    peers.health.start();
    await peers.clock.advance(5 * INTERVAL_MS);
    for (let round = 0; round < 10; round += 1) {
      if (round % 2 === 0) peers.silent.delete("b");
      else peers.silent.add("b");
      await peers.clock.advance(INTERVAL_MS);
    }
    expect(peers.changes).toEqual(["b is silent"]);
    peers.silent.delete("b");
    await peers.clock.advance(3 * INTERVAL_MS);
    expect(peers.changes).toEqual(["b is silent", "b answers"]);
  });

  it("takes a peer that answers later than the next ping for reachable, and for reachable again (P2)", async () => {
    const peers = new Peers();
    peers.answerMs = 1.5 * INTERVAL_MS;
    peers.health.start();
    await peers.clock.advance(10 * INTERVAL_MS);
    expect(peers.changes).toEqual([]);
    peers.silent.add("b");
    await peers.clock.advance(6 * INTERVAL_MS);
    peers.silent.delete("b");
    await peers.clock.advance(6 * INTERVAL_MS);
    expect(peers.changes).toEqual(["b is silent", "b answers"]);
  });

  it("does not take answers to old pings, nor one that comes twice, for those of a peer that answers", async () => {
    const peers = new Peers();
    peers.silent.add("b");
    peers.health.start();
    await peers.clock.advance(30 * INTERVAL_MS);
    const [first, latest] = [peers.sent.get("b")?.slice(0, 5) ?? [], peers.sent.get("b")?.slice(-2) ?? []];
    for (const nonce of [...first, latest[0], latest[0]]) peers.health.pong(nonce ?? "");
    expect(peers.health.isReachable("b")).toBe(false);
    peers.health.pong(latest[1] ?? "");
    expect(peers.health.isReachable("b")).toBe(true);
  });

  it("forgets peers that left, and knows them anew when they are back", async () => {
    const peers = new Peers();
    peers.silent.add("b");
    peers.health.start();
    await peers.clock.advance(5 * INTERVAL_MS);
    peers.runners = [{ address: "a", runnerId: "1" }];
    await peers.clock.advance(INTERVAL_MS);
    expect([peers.health.unreachable, peers.health.known]).toEqual([[], 1]);
    peers.runners = [...peers.runners, { address: "b", runnerId: "3" }];
    await peers.clock.advance(INTERVAL_MS);
    expect(peers.health.isReachable("b")).toBe(true);
  });

  it("takes a runner that is new for reachable at once, at the address of one that is silent", async () => {
    const peers = new Peers();
    peers.silent.add("b");
    peers.health.start();
    await peers.clock.advance(5 * INTERVAL_MS);
    expect(peers.health.isReachable("b")).toBe(false);
    peers.runners = [...peers.runners, { address: "b", runnerId: "3" }];
    peers.health.renew();
    expect(peers.health.isReachable("b")).toBe(true);
    peers.runners = peers.runners.filter(({ runnerId }) => runnerId !== "2");
    await peers.clock.advance(5 * INTERVAL_MS);
    expect(peers.health.isReachable("b"), "the record of the former one that goes makes no difference").toBe(
      false,
    );
  });

  it("does not count rounds that this process slept through (P3)", async () => {
    const peers = new Peers();
    peers.health.start();
    await peers.clock.advance(5 * INTERVAL_MS);
    for (let round = 0; round < 6; round += 1) {
      peers.view.pause();
      await peers.clock.advance(10 * INTERVAL_MS);
      peers.view.resume();
      await peers.clock.advance(5);
    }
    expect(peers.changes).toEqual([]);
  });

  it("asks nobody any more once it is stopped", async () => {
    const peers = new Peers();
    peers.health.start();
    await peers.clock.advance(5 * INTERVAL_MS);
    peers.health.stop();
    const before = peers.pings;
    await peers.clock.advance(5 * INTERVAL_MS);
    expect([before > 0, peers.pings - before]).toEqual([true, 0]);
  });

  it("knows an address for its own if what is sent there comes in here", async () => {
    const peers = new Peers();
    const alien = peers.health.isOwnAddress("a", 1_000);
    await peers.clock.advance(1_000);
    await expect(alien).resolves.toBe(false);
    const nonces: string[] = [];
    const own: PeerHealth = new PeerHealth({
      clock: peers.clock,
      random: new SeededRandom(2, () => peers.clock.now()),
      intervalMs: INTERVAL_MS,
      peers: () => [],
      ping: (_address, nonce) => {
        nonces.push(nonce);
        peers.clock.setTimer(10, () => own.pinged(nonce));
      },
      changed: () => undefined,
      missing: () => undefined,
    });
    const proof = own.isOwnAddress("own", 1_000);
    await peers.clock.advance(10);
    await expect(proof).resolves.toBe(true);
    expect(nonces).toHaveLength(1);
  });
});
