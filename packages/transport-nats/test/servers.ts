// The servers of a test, members of a cluster of its own on them, and clients that are no members.

import { randomUUID } from "node:crypto";
import { connect } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import { startOwnNats } from "../../../test/services/nats.ts";
import type { NatsOptions } from "../src/index.ts";

export type OwnNats = Awaited<ReturnType<typeof startOwnNats>>;

/** How long a silent peer or server is believed in, where a test is about that. */
export const FREEZE_MS = 300;
/** Nobody would be missed within a test. */
export const NEVER_MS = 600_000;

/** A server for one test, with lines for its configuration file. */
export async function serverWith(config: string): Promise<OwnNats> {
  const own = await startOwnNats({ config });
  onTestFinished(() => own.stop());
  return own;
}

/** Options of the members of a cluster that no other test has. */
export function clusterOn(
  server: OwnNats,
  options: NatsOptions = {},
): NatsOptions & { readonly prefix: string } {
  return { servers: server.url, ...options, prefix: `test.${randomUUID()}` };
}

/** How many clients a server has cut off for reading too slowly. */
export async function slowConsumers(of: OwnNats): Promise<number> {
  const numbers = (await (await fetch(`${of.monitorUrl}/varz`)).json()) as {
    readonly slow_consumers: number;
  };
  return numbers.slow_consumers;
}

/** A client of the server that is no member. */
export async function outsider(on: OwnNats): ReturnType<typeof connect> {
  const client = await connect({ servers: on.url });
  onTestFinished(() => client.close());
  return client;
}
