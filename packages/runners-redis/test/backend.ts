// What the tests of this package need: a RunnerStorage on a Redis, under a prefix of its own.

import { randomUUID } from "node:crypto";
import type { OpenRunners } from "@holdfast/core/adapter";
import { adapterServices } from "@holdfast/testing";
import { redis, type RedisRunnersOptions } from "../src/index.ts";

export const services = adapterServices;

export const TTL_MS = 600;

export function newPrefix(): string {
  return `t-${randomUUID()}`;
}

/** Opens sessions on one Redis, and closes all of them. */
export class Sessions implements AsyncDisposable {
  readonly prefix: string = newPrefix();
  readonly #options: RedisRunnersOptions;
  readonly #opened: OpenRunners[] = [];

  constructor(options: RedisRunnersOptions) {
    this.#options = options;
  }

  async open(options: RedisRunnersOptions = {}): Promise<OpenRunners["runners"]> {
    const session = await redis({ prefix: this.prefix, ...this.#options, ...options }).open(services());
    this.#opened.push(session);
    return session.runners;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#opened) await session.close();
  }
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
