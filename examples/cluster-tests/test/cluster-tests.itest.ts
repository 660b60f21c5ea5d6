// Three runner processes behind one HTTP front, driven from outside: each scenario on its own, with traffic, and while the
// runners are replaced one after the other.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { isAlive } from "../../cluster/test/process-alive.ts";
import { startSuite } from "../src/start-suite.ts";
import { failOver } from "./fail-over.ts";
import { HttpClient } from "./http-client.ts";
import { Nodes } from "./nodes.ts";
import { scenarios } from "./scenarios.ts";
import { Traffic } from "./traffic.ts";

const postgresUrl = inject("postgresUrl");
const etcdUrl = inject("etcdUrl");
const missing = [
  ...(postgresUrl === null ? ["no PostgreSQL"] : []),
  ...(etcdUrl === null ? ["no etcd"] : []),
].join(", ");

describe.skipIf(missing !== "")(`three runners behind an HTTP front${missing && `: ${missing}`}`, () => {
  const ending = new AsyncDisposableStack();
  const events: string[] = [];
  let nodes: Nodes;
  let http: HttpClient;

  beforeAll(async () => {
    const name = `cluster_tests_${randomUUID().replaceAll("-", "")}`;
    const admin = new pg.Client(postgresUrl ?? "");
    await admin.connect();
    ending.defer(() => admin.end());
    await admin.query(`create database ${name}`);
    ending.defer(async () => void (await admin.query(`drop database ${name} with (force)`)));
    const url = new URL(postgresUrl ?? "");
    url.pathname = `/${name}`;
    const suite = await startSuite(ending, {
      postgresUrl: url.href,
      etcdUrl: etcdUrl ?? "",
      told: (event) => events.push(event),
    });
    http = new HttpClient(suite.url);
    nodes = new Nodes(suite.fleet, http);
  });

  afterAll(() => ending.disposeAsync());

  describe.each([
    { mode: "quiet", callers: 0 },
    { mode: "busy", callers: 4 },
  ])("while it is $mode", ({ mode, callers }) => {
    let traffic: Traffic;
    const fresh = (what: string): string => `${mode}-${what}`;
    beforeAll(() => {
      traffic = new Traffic(http, fresh("traffic"), callers);
    });
    afterAll(async () => {
      await traffic.stop();
    });

    scenarios(() => http, fresh);
    failOver({ http: () => http, nodes: () => nodes, traffic: () => traffic, fresh });

    it("loses and doubles nothing that it promised", async () => {
      const { answered, failures, lost, doubled } = await traffic.stop();
      expect({ lost, doubled }).toEqual({ lost: [], doubled: [] });
      // At most once: what is asked of a runner that was killed fails until its shards have another owner.
      expect(failures.filter(({ kind, status }) => kind !== "volatile" || status !== 503)).toEqual([]);
      console.log(`${mode}: ${answered} answered, ${failures.length} at most once and not, ${await gap()}`);
    });
  });

  describe("while its runners are replaced, busy as they are", () => {
    const stopping = new AbortController();
    let traffic: Traffic;
    let rolling: Promise<number>;
    beforeAll(() => {
      traffic = new Traffic(http, "rolling-traffic", 4);
      rolling = nodes.roll(stopping.signal);
      // Its failure is that of the case that waits for it.
      rolling.catch(() => undefined);
    });
    afterAll(async () => {
      stopping.abort();
      await Promise.allSettled([traffic.stop(), rolling]);
    });

    describe.each([1, 2, 3, 4])("round %i", (round) => {
      scenarios(
        () => http,
        (what) => `rolling-${round}-${what}`,
      );
    });

    it("fails no call, and loses and doubles nothing", async () => {
      stopping.abort();
      const replaced = await rolling;
      expect(replaced).toBeGreaterThan(0);
      const { answered, failures, lost, doubled } = await traffic.stop();
      expect({ failures, lost, doubled }).toEqual({ failures: [], lost: [], doubled: [] });
      console.log(`rolling: ${replaced} runners replaced, ${answered} answered, none failed, ${await gap()}`);
    });
  });

  it("ends, and leaves no process behind", async () => {
    const pids = events.flatMap((event) => /is process (\d+)$/u.exec(event)?.[1] ?? []).map(Number);
    await ending.disposeAsync();
    expect(await Promise.all(pids.map(isAlive))).toEqual(pids.map(() => false));
  });

  async function gap(): Promise<string> {
    const { longestWithoutOwnerMs } = (await http.get("/shards")).body;
    return `the longest time so far that a shard had no owner: ${longestWithoutOwnerMs} ms`;
  }
});
