// What the cluster is asked to do, whatever else happens to it meanwhile.

import { describe, expect, it } from "vitest";
import type { HttpClient } from "./http-client.ts";
import { SOON } from "./soon.ts";

/**
 * Defines the cases.
 *
 * @param http the front, once it is there
 * @param fresh makes an id that no other case has
 */
export function scenarios(http: () => HttpClient, fresh: (what: string) => string): void {
  const transfer = (id: string, amount: number, fails = false) =>
    http().post("/transfers", {
      id: fresh(`transfer-${id}`),
      account: fresh("account"),
      recipient: `to-${id}`,
      amount,
      fails,
    });

  describe("entities", () => {
    it("count, each id for itself", async () => {
      const [a, b] = [fresh("a"), fresh("b")];
      expect((await http().post(`/counters/${a}`, { amount: 2, key: "1" })).body).toEqual({ value: 2 });
      expect((await http().post(`/counters/${a}`, { amount: 3, key: "2" })).body).toEqual({ value: 5 });
      expect((await http().post(`/counters/${b}`, { amount: -1, key: "1" })).body).toEqual({ value: -1 });
      expect((await http().get(`/counters/${a}`)).body).toEqual({ value: 5 });
      expect((await http().get(`/counters/${fresh("never-used")}`)).body).toEqual({ value: 0 });
    });

    it("count a request once, however often it is sent under its key", async () => {
      const id = fresh("repeated");
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => http().post(`/counters/${id}`, { amount: 4, key: "same" })),
      );
      expect(answers.map(({ body }) => body)).toEqual(answers.map(() => ({ value: 4 })));
      expect((await http().get(`/counters/${id}/increments`)).body).toEqual([{ key: "same", amount: 4 }]);
    });

    it("have their value after they left memory", async () => {
      const id = fresh("evicted");
      await http().post(`/counters/${id}`, { amount: 7, key: "1" });
      await expect
        .poll(async () => (await http().get(`/counters/${id}/evictions`)).body, SOON)
        .not.toEqual({ evictions: 0 });
      expect((await http().get(`/counters/${id}`)).body).toEqual({ value: 7 });
    });

    it("refuse an input that does not fit, and store nothing of it", async () => {
      const id = fresh("bad");
      const { status, body } = await http().post(`/counters/${id}`, { amount: 1.5, key: "1" });
      expect([status, body.error]).toEqual([400, "InvalidInputError"]);
      expect((await http().get(`/storage/Counter/${id}`)).body.requests).toBe(0);
    });

    it("may keep nothing at all", async () => {
      const id = fresh("stateless");
      expect((await http().post(`/stateless/${id}`, { a: 2, b: 3 })).body).toEqual({ sum: 5 });
      expect((await http().post(`/stateless/${id}`, { a: 4, b: 4 })).body).toEqual({ sum: 8 });
      expect((await http().get(`/storage/StatelessCounter/${id}`)).body.requests).toBe(0);
    });
  });

  describe("rpc groups", () => {
    it("keep an audit log for each entity that has them", async () => {
      const [ada, kim] = [fresh("ada"), fresh("kim")];
      for (const action of ["login", "read", "logout"])
        expect((await http().post(`/users/${ada}/actions`, { action })).status).toBe(204);
      await http().post(`/users/${kim}/actions`, { action: "login" });
      expect((await http().get(`/users/${ada}/actions`)).body).toEqual(["login", "read", "logout"]);
      expect((await http().get(`/users/${kim}/actions`)).body).toEqual(["login"]);
    });

    it("count the versions of an entity that has two of them", async () => {
      const id = fresh("eve");
      expect((await http().put(`/users/${id}/email`, { email: "eve@example.com" })).body).toEqual({
        version: 1,
      });
      expect((await http().put(`/users/${id}/email`, { email: "eve@example.org" })).body).toEqual({
        version: 2,
      });
      expect((await http().get(`/users/${id}`)).body).toEqual({ email: "eve@example.org", version: 2 });
    });
  });

  describe("workflows", () => {
    it("answer, and a repeated start joins", async () => {
      const id = fresh("simple");
      const start = () => http().post("/workflows/simple", { id, name: "ada" });
      expect((await start()).body).toEqual({ result: "hello ada: did greet" });
      expect((await start()).body).toEqual({ result: "hello ada: did greet" });
      expect((await http().get(`/activities/${id}`)).body).toEqual([{ activity: "greet", attempt: 1 }]);
    });

    it("go through ten steps in order, and can be asked whether they are done", async () => {
      const id = fresh("long");
      expect((await http().post("/workflows/long", { id, pauseMs: 20 })).status).toBe(202);
      const { body } = await http().get(`/workflows/long/${id}/result`);
      const steps = Array.from({ length: 10 }, (_, index) => `step-${index + 1}`);
      expect(body.result).toEqual(steps.map((step) => `did ${step}`));
      expect((await http().get(`/workflows/long/${id}`)).body.state).toBe("completed");
      expect((await http().get(`/activities/${id}`)).body).toEqual(
        steps.map((activity) => ({ activity, attempt: 1 })),
      );
    });

    it("that nobody started are not running, and have no result", async () => {
      const id = fresh("unknown");
      expect((await http().get(`/workflows/long/${id}`)).body).toEqual({ state: "unfinished" });
      expect((await http().get(`/workflows/long/${id}/result`)).status).toBe(404);
    });

    it("try an activity again, and what a failed attempt wrote is not there", async () => {
      const id = fresh("flaky");
      expect((await http().post("/workflows/retry", { id, failures: 2 })).body).toEqual({ attempts: 3 });
      expect((await http().get(`/activities/${id}`)).body).toEqual([{ activity: "flaky", attempt: 3 }]);
    });

    it("fail with the last error of an activity that is out of attempts", async () => {
      const id = fresh("hopeless");
      const { status, body } = await http().post("/workflows/retry", { id, failures: 9 });
      expect([status, body.cause]).toEqual([422, { name: "FlakyError", message: "attempt 4 failed" }]);
      expect((await http().get(`/activities/${id}`)).body).toEqual([]);
    });

    it("take activities from several groups", async () => {
      const id = fresh("order");
      expect((await http().post("/orders", { orderId: id, cents: 1_299 })).body).toEqual({
        status: "completed",
        steps: [`reserved-${id}`, `authorized-${id}`, `captured-${id}`, `confirmed-${id}`],
      });
      expect((await http().get(`/orders/${id}/effects`)).body).toEqual([
        "authorized",
        "captured",
        "confirmed",
        "reserved",
      ]);
    });

    it("undo what they did when an activity of another group fails", async () => {
      const id = fresh("declined");
      expect((await http().post("/orders", { orderId: id, cents: 200_000 })).body.status).toBe("declined");
      expect((await http().get(`/orders/${id}/effects`)).body).toEqual(["released", "reserved"]);
    });
  });

  describe("timers", () => {
    it("wait for their delay at the least, and are recorded", async () => {
      const id = fresh("timers");
      const delays = [250, 0, 120];
      await Promise.all(
        delays.map((delayMs) => http().post(`/timers/${id}`, { name: `after-${delayMs}`, delayMs })),
      );
      const read = async (): Promise<{ state: string; delayMs: number; waitedMs: number }[]> =>
        (await http().get(`/timers/${id}`)).body;
      await expect
        .poll(async () => (await read()).map(({ state }) => state), SOON)
        .toEqual(delays.map(() => "fired"));
      for (const { delayMs, waitedMs } of await read()) expect(waitedMs).toBeGreaterThanOrEqual(delayMs);
    });

    it("can be cancelled once, and not if there is none", async () => {
      const id = fresh("cancelled");
      expect((await http().delete(`/timers/${id}/none`)).body).toEqual({ cancelled: false });
      await http().post(`/timers/${id}`, { name: "tomorrow", delayMs: 86_400_000 });
      expect((await http().delete(`/timers/${id}/tomorrow`)).body).toEqual({ cancelled: true });
      expect((await http().delete(`/timers/${id}/tomorrow`)).body).toEqual({ cancelled: false });
      expect((await http().get(`/timers/${id}`)).body[0].state).toBe("cancelled");
    });
  });

  describe("calls between entities", () => {
    it("go both ways", async () => {
      const [a, b] = [fresh("alice"), fresh("bob")];
      await http().post(`/messengers/${a}/messages`, { to: b, text: "hello" });
      await http().post(`/messengers/${b}/messages`, { to: a, text: "hi" });
      await http().post(`/messengers/${a}/messages`, { to: b, text: "bye" });
      expect((await http().get(`/messengers/${b}/messages`)).body).toEqual([
        { from: a, text: "hello" },
        { from: a, text: "bye" },
      ]);
      expect((await http().get(`/messengers/${a}/messages`)).body).toEqual([{ from: b, text: "hi" }]);
    });

    it("hit a ball ten times in five rounds", async () => {
      const game = { with: fresh("pong"), rounds: 5 };
      expect((await http().post(`/messengers/${fresh("ping")}/games`, game)).body).toEqual({ hits: 10 });
    });
  });

  describe("what is written through the storage's transaction", () => {
    it("adds up, is all undone by an error, and goes on after it", async () => {
      expect((await transfer("1", 10)).body).toEqual({ transfers: 1, total: 10 });
      expect((await transfer("2", 32)).body).toEqual({ transfers: 2, total: 42 });
      const { status, body } = await transfer("3", 1_000, true);
      expect([status, body.cause.name]).toEqual([422, "TransferError"]);
      expect((await http().get(`/accounts/${fresh("account")}`)).body).toEqual({
        transfers: 2,
        total: 42,
        rows: [
          { recipient: "to-1", amount: 10 },
          { recipient: "to-2", amount: 32 },
        ],
      });
      expect((await transfer("4", 8)).body).toEqual({ transfers: 3, total: 50 });
    });

    it("leaves a request answered and nothing pending", async () => {
      const id = fresh("rows");
      await http().post(`/counters/${id}`, { amount: 1, key: "1" });
      await http().post(`/counters/${id}`, { amount: 1, key: "2" });
      await expect
        .poll(async () => (await http().get(`/storage/Counter/${id}`)).body, SOON)
        .toEqual({ requests: 2, pending: 0, replies: 2, journal: 0 });
    });

    it("leaves an execution answered, with its whole journal", async () => {
      const id = fresh("journaled");
      await http().post("/workflows/simple", { id, name: "kim" });
      const { body } = await http().get(`/storage/workflow:SimpleWorkflow/${id}`);
      expect(body).toMatchObject({ requests: 1, pending: 0, replies: 1 });
      expect(body.journal).toBeGreaterThan(0);
    });
  });
}
