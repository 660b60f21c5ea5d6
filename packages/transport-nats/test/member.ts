// A member of a test's network: a transport and what its listener was told.

import type { Transport, TransportListener, WireMessage } from "@holdfast/core/adapter";
import { SystemRandom } from "@holdfast/core/internal";
import { NatsTransport, type NatsCounters } from "../src/nats-transport.ts";
import { checkOptions, type NatsOptions } from "../src/options.ts";

export class Member implements TransportListener, AsyncDisposable {
  readonly transport: Transport & { readonly counters: NatsCounters };
  address = "";
  readonly received: WireMessage[] = [];
  readonly lost: WireMessage[] = [];
  readonly gone: string[] = [];
  /** Called as soon as a peer is gone. */
  onGone: ((peer: string) => void) | null = null;
  readonly #waiting: { readonly enough: () => boolean; readonly resolve: () => void }[] = [];

  private constructor(options: NatsOptions) {
    this.transport = new NatsTransport(checkOptions(options), new SystemRandom());
  }

  static async start(options: NatsOptions): Promise<Member> {
    const member = new Member(options);
    member.address = await member.transport.start(member);
    return member;
  }

  /** Answers pings, as a cluster does. */
  receive(from: string, message: WireMessage): void {
    this.received.push(message);
    if (message.type === "ping") this.transport.send(from, { type: "pong", nonce: message.nonce });
    this.#look();
  }

  undelivered(_to: string, message: WireMessage): void {
    this.lost.push(message);
    this.#look();
  }

  disconnected(peer: string): void {
    this.gone.push(peer);
    this.onGone?.(peer);
    this.#look();
  }

  /** Resolves when `enough`. The test's time-out is the limit. */
  async until(enough: () => boolean): Promise<void> {
    if (enough()) return;
    await new Promise<void>((resolve) => this.#waiting.push({ enough, resolve }));
  }

  /** Whether `to` answers a ping. False: it was told that it did not arrive, or that the peer is gone. */
  async reaches(to: string): Promise<boolean> {
    const nonce = `${to} ${this.received.length} ${this.lost.length} ${this.gone.length}`;
    const [lost, gone] = [this.lost.length, this.gone.length];
    const isAnswered = (): boolean =>
      this.received.some((message) => message.type === "pong" && message.nonce === nonce);
    this.transport.send(to, ping(nonce));
    await this.until(() => isAnswered() || this.lost.length > lost || this.gone.length > gone);
    return isAnswered();
  }

  async untilReaches(to: string): Promise<void> {
    while (!(await this.reaches(to))) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** The numbers in what came of this type, in order. */
  numbers(type: "ping" | "pong"): readonly number[] {
    return this.received.filter((message) => message.type === type).flatMap(numberOf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.close(500);
  }

  #look(): void {
    for (const { enough, resolve } of this.#waiting) if (enough()) resolve();
  }
}

export function ping(nonce: number | string): WireMessage {
  return { type: "ping", nonce: String(nonce) };
}

/** The number that it begins with, if it does: what `reaches` sends has none. */
export function numberOf(message: WireMessage): readonly number[] {
  const number = "nonce" in message ? Number(message.nonce.split(" ")[0]) : Number.NaN;
  return Number.isNaN(number) ? [] : [number];
}
