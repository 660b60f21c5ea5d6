// What the tests of this package need: a RunnerStorage on an etcd, under a prefix of its own.

import { randomUUID } from "node:crypto";
import type { OpenRunners } from "@holdfast/core/adapter";
import { adapterServices } from "@holdfast/testing";
import { etcd, type EtcdOptions } from "../src/index.ts";

export const services = adapterServices;

/** etcd takes no term of less than its elections take, and whole seconds. */
export const TTL_MS = 1_000;

/** The hosts of a URL as the test services give it. */
export function hostsOf(url: string, scheme: "http" | "https" = "http"): string {
  return url.replace(/^etcd:/u, `${scheme}:`);
}

export function newPrefix(): string {
  return `/t-${randomUUID()}/`;
}

/** Opens sessions on one etcd, and closes all of them. */
export class Sessions implements AsyncDisposable {
  readonly prefix: string = newPrefix();
  readonly #options: EtcdOptions;
  readonly #opened: OpenRunners[] = [];

  constructor(options: EtcdOptions) {
    this.#options = options;
  }

  async open(options: EtcdOptions = {}): Promise<OpenRunners["runners"]> {
    const session = await etcd({ prefix: this.prefix, ...this.#options, ...options }).open(services());
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
