// The same application on every combination of backends that makes sense, and nothing but URLs says which.

import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCluster, type Cluster, type ClusterOptions } from "@holdfast/core";
import { afterEach, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { Application, Desk, OPTIONS } from "./application.ts";
import { COMBINATIONS, servicesOf, urlsOf, type Services } from "./combinations.ts";

const services: Services = {
  postgres: inject("postgresUrl"),
  etcd: inject("etcdUrl"),
  redis: inject("redisUrl"),
  nats: inject("natsUrl"),
};

let folder: string;
let name: string;
let members: Cluster[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-configurations-"));
  name = `t_${randomUUID().replaceAll("-", "")}`;
  members = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(members.map((member) => member.shutdown()));
  await rm(folder, { recursive: true, force: true });
});

async function enter(options: ClusterOptions): Promise<void> {
  const member = await createCluster({ ...OPTIONS, ...options });
  members.push(member);
  await member.start();
}

describe("a cluster of URLs alone", () => {
  for (const combination of COMBINATIONS) {
    const { storage, runners, transport, members: count } = combination;
    const missing = servicesOf(combination).filter((service) => services[service] === null);
    const why = missing.length === 0 ? "" : `: no ${missing.join(", no ")}`;
    it.skipIf(missing.length > 0)(
      `runs on storage ${storage}, runners ${runners}, transport ${transport}, with ${count} member(s)${why}`,
      async () => {
        const urls = urlsOf(combination, services, name, folder);
        const { runners: leases, ...rest } = urls;
        for (let member = 0; member < count; member += 1)
          await enter(leases === undefined ? rest : { ...rest, runners: leases });
        await expectToBeWhole();
        await expectToWork();
      },
    );
  }
});

describe("HOLDFAST_STORAGE, HOLDFAST_RUNNERS and HOLDFAST_TRANSPORT", () => {
  const combination = { storage: "postgres", runners: "etcd", transport: "grpc", members: 2 } as const;
  const missing = servicesOf(combination).filter((service) => services[service] === null);

  it.skipIf(missing.length > 0)(
    "put the same application on other backends than its code names",
    async () => {
      const urls = urlsOf(combination, services, name, folder);
      vi.stubEnv("HOLDFAST_STORAGE", urls.storage);
      vi.stubEnv("HOLDFAST_RUNNERS", urls.runners);
      vi.stubEnv("HOLDFAST_TRANSPORT", urls.transport);
      for (let member = 0; member < combination.members; member += 1)
        await enter({ storage: "memory:", runners: "memory:", transport: "memory:" });
      // Members on memory would not see each other, and have no port.
      await expectToBeWhole();
      for (const { address } of members.map((member) => member.status()))
        expect(address).toMatch(/^127\.0\.0\.1:\d+$/u);
      await expectToWork();
    },
  );
});

/** Every member sees the others, and every shard has an owner among them. */
async function expectToBeWhole(): Promise<void> {
  await expect
    .poll(() => members.map((member) => member.status().runners.length), { timeout: 60_000 })
    .toEqual(members.map(() => members.length));
  const owned = (): readonly number[] => members.map((member) => member.status().shards.owned);
  await expect
    .poll(() => owned().reduce((sum, count) => sum + count, 0), { timeout: 60_000 })
    .toBe(OPTIONS.shardsPerGroup);
}

/** Whoever asks gets an answer, and it is the recorded one whoever asks again. */
async function expectToWork(): Promise<void> {
  await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const id = `paper-${index}`;
      const stamps: string[] = [];
      const results: unknown[] = [];
      for (const member of members) {
        stamps.push(await member.entity(Desk, id).stamp({ paper: id }, { idempotencyKey: "once" }));
        results.push(await member.workflow(Application).execute({ id }));
      }
      expect(stamps).toEqual(members.map(() => stamps[0]));
      expect(stamps[0]).toMatch(new RegExp(`^${id} at ${id}: `, "u"));
      expect(results).toEqual(members.map(() => results[0]));
      expect(results[0]).toMatchObject({ priced: expect.stringMatching(`^${id} costs `) });
    }),
  );
}
