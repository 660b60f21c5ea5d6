// What moves when runners go and come, and what does not fail meanwhile.

import { describe, expect, it } from "vitest";
import type { HttpClient } from "./http-client.ts";
import type { Nodes } from "./nodes.ts";
import { SOON } from "./soon.ts";
import type { Traffic } from "./traffic.ts";

export interface FailOverCases {
  readonly http: () => HttpClient;
  readonly nodes: () => Nodes;
  readonly traffic: () => Traffic;
  /** Makes an id that no other case has. */
  readonly fresh: (what: string) => string;
}

/** Defines the cases. Each leaves all three nodes running. */
export function failOver({ http, nodes, traffic, fresh }: FailOverCases): void {
  describe("an entity that keeps nothing", () => {
    it("has in memory what it was asked since it is there", async () => {
      const id = fresh("in-memory");
      await http().post(`/stateless/${id}`, { a: 2, b: 3 });
      await http().post(`/stateless/${id}`, { a: 2, b: 3 });
      expect((await http().get(`/stateless/${id}`)).body).toEqual({ calls: 2 });
    });
  });

  describe("a singleton", () => {
    it("ticks on one runner", async () => {
      await http().delete("/ticker");
      await expect.poll(async () => (await http().get("/ticker")).body.ticks, SOON).toBeGreaterThan(3);
      const { runner, pid, moves } = (await http().get("/ticker")).body;
      expect(nodes().fleet.running.find((each) => each.pid === pid)?.name).toBe(runner);
      expect(moves).toBe(0);
    });

    it.each(["is stopped", "is killed"])("goes on elsewhere when its runner %s", async (how) => {
      const failed = traffic().failures.length;
      const before = (await http().get("/ticker")).body;
      const host = nodes().fleet.running.find(({ pid }) => pid === before.pid);
      await (how === "is killed" ? host?.kill() : host?.stop());
      await expect.poll(async () => (await http().get("/ticker")).body.pid, SOON).not.toBe(before.pid);
      const after = (await http().get("/ticker")).body;
      await expect
        .poll(async () => (await http().get("/ticker")).body.ticks, SOON)
        .toBeGreaterThan(after.ticks);
      const { wentBack, moves } = (await http().get("/ticker")).body;
      expect({ wentBack, moves }).toEqual({ wentBack: false, moves: before.moves + 1 });
      await nodes().all();
      const kinds = traffic()
        .failures.slice(failed)
        .map(({ kind }) => kind);
      expect(how === "is killed" ? kinds.filter((kind) => kind !== "volatile") : kinds).toEqual([]);
    });
  });

  describe("shards", () => {
    it("are shared by all runners", async () => {
      await nodes().all();
      const { body } = await http().get("/members");
      expect(body.filter(({ role }: { role: string }) => role === "runner")).toHaveLength(3);
    });

    it("of a runner that is stopped move, and no call fails", async () => {
      const failed = traffic().failures.length;
      await nodes().get("node2").stop();
      await expect.poll(() => nodes().owners(), SOON).toEqual(["node1", "node3"]);
      await traffic().carryOn();
      expect(traffic().failures.slice(failed)).toEqual([]);
    });

    it("come back to a runner that is started again, and no call fails", async () => {
      const failed = traffic().failures.length;
      await nodes().all();
      await traffic().carryOn();
      expect(traffic().failures.slice(failed)).toEqual([]);
    });

    it("of a runner that is killed have a live owner soon, and what is persisted does not fail", async () => {
      const failed = traffic().failures.length;
      const workflows = Array.from({ length: 6 }, (_, index) => fresh(`crossing-${index}`));
      for (const id of workflows) await http().post("/workflows/long", { id, pauseMs: 100 });
      await nodes().get("node3").kill();
      await expect.poll(() => nodes().owners(), SOON).toEqual(["node1", "node2"]);
      const results = await Promise.all(workflows.map((id) => http().get(`/workflows/long/${id}/result`)));
      expect(results.map(({ status }) => status)).toEqual(results.map(() => 200));
      for (const id of workflows) expect((await http().get(`/activities/${id}`)).body).toHaveLength(10);
      await traffic().carryOn();
      expect(
        traffic()
          .failures.slice(failed)
          .filter(({ kind }) => kind !== "volatile"),
      ).toEqual([]);
      await nodes().all();
    });
  });
}
