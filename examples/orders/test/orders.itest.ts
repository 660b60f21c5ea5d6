import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import { describe, expect, inject, it } from "vitest";
import { chance } from "../src/chance.ts";
import { account } from "../src/report.ts";
import { paidIn, start, type Run } from "./example.ts";

const KILLS = 10;
const seed = Number(process.env["ORDERS_SEED"] ?? Date.now() % 1_000_000);
const postgresUrl = inject("postgresUrl");

describe("the order book", () => {
  it(`comes out right to the cent although its process is killed ${KILLS} times (ORDERS_SEED=${seed})`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-orders-"));
    const started: Run[] = [];
    const startMain = (): Run => {
      const run = start("main", { ORDERS_DATA: folder });
      started.push(run);
      return run;
    };
    const below = chance(seed);
    try {
      let paid = 0;
      for (let kill = 0; kill < KILLS; kill += 1) {
        const run = startMain();
        // Between nothing and some sixty orders on from where the last one was killed; sometimes before it has begun.
        const inTime = await run.paid(paid + below(60));
        run.child.kill("SIGKILL");
        await run.ended;
        expect(inTime, run.output()).toBe(true);
        paid = Math.max(paid, paidIn(run.output()));
      }
      expect(paid).toBeLessThan(830);
      const last = startMain();
      expect(await last.ended, last.output()).toBe(0);
      expect(last.output()).toContain("Every order was processed exactly once.");

      const instance = await PGlite.create({ dataDir: folder });
      try {
        const sums = await account({ query: (text, params = []) => instance.query(text, [...params]) });
        expect(sums.map(({ what, found }) => ({ what, found }))).toEqual(
          sums.map(({ what, expected }) => ({ what, found: expected })),
        );
      } finally {
        await instance.close();
      }
    } finally {
      for (const { child } of started) child.kill("SIGKILL");
      await Promise.all(started.map(({ ended }) => ended));
      await rm(folder, { recursive: true, force: true });
    }
  });

  it.skipIf(postgresUrl === null)(
    `comes out right to the cent on three processes, one of which is killed ${KILLS} times (ORDERS_SEED=${seed})${postgresUrl === null ? ": no PostgreSQL" : ""}`,
    async () => {
      const below = chance(seed);
      const name = `orders_${process.pid}_${seed}`;
      const admin = new pg.Client(postgresUrl ?? "");
      await admin.connect();
      await admin.query(`create database ${name}`);
      const url = new URL(postgresUrl ?? "");
      url.pathname = `/${name}`;
      const run = start("cluster", { ORDERS_POSTGRES_URL: url.href });
      try {
        for (let kill = 0, paid = 0; kill < KILLS; kill += 1) {
          paid += 20 + below(50);
          expect(await run.paid(paid), run.output()).toBe(true);
          const victim = runnersOf(run.output())[below(3)];
          if (victim !== undefined) killProcess(victim);
        }
        expect(await run.ended, run.output()).toBe(0);
        expect(run.output().match(/starting it again/gu)?.length).toBeGreaterThan(0);
        const database = new pg.Client(url.href);
        await database.connect();
        try {
          const sums = await account({
            query: async (text, params = []) => ({ rows: (await database.query(text, [...params])).rows }),
          });
          expect(sums.map(({ what, found }) => ({ what, found }))).toEqual(
            sums.map(({ what, expected }) => ({ what, found: expected })),
          );
        } finally {
          await database.end();
        }
      } finally {
        run.child.kill("SIGKILL");
        await run.ended;
        // The runners end by themselves when their parent is gone; the database waits for that.
        await admin.query(`drop database ${name} with (force)`);
        await admin.end();
      }
    },
  );
});

/** The process ids of the three runners, as last started. */
function runnersOf(output: string): readonly number[] {
  const latest = new Map(
    [...output.matchAll(/runner (\w+) is process (\d+)/gu)].map(([, name, pid]) => [name, Number(pid)]),
  );
  return [...latest.values()];
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was killed a moment ago and is being started again.
  }
}
