// What is asked of an execution's handle, which storage has to find first.

import { defineWorkflow, InterruptedError, query, TimeoutError } from "@holdfast/core";
import { createTestCluster, type TestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";
import { Door, notWritten, tampering } from "./tampering.ts";

const Waiting = defineWorkflow({
  name: "Waiting",
  input: z.string(),
  output: z.string(),
  key: (id) => id,
  hashKey: false,
  signals: { go: z.string() },
  queries: { at: query({ output: z.string() }) },
});
const waiting = Waiting.implement({
  queries: { at: (state: unknown) => String(state) },
  async execute(ctx) {
    ctx.setState("the door");
    return ctx.signal("go");
  },
});
type Limits = { readonly timeout?: "1s"; readonly signal?: AbortSignal };
const handleIn = (cluster: TestCluster) => cluster.workflow(Waiting).get("a");
type WaitingHandle = ReturnType<typeof handleIn>;
const ASKED: Readonly<Record<string, (handle: WaitingHandle, limits?: Limits) => Promise<unknown>>> = {
  result: (handle, limits) => handle.result(limits),
  signal: (handle, limits) => handle.signal("go", "on", limits),
  query: (handle, limits) => handle.query("at", undefined, limits),
  cancel: (handle) => handle.cancel("enough"),
};
/** `cancel` takes none. */
const WITH_LIMITS = Object.entries(ASKED).filter(([what]) => what !== "cancel");

describe("what is asked of an execution that storage has to find first", () => {
  it.each(Object.entries(ASKED))("is asked for where that fails for a moment: %s", async (what, ask) => {
    let failures = 0;
    await using cluster = await createTestCluster({
      register: [waiting],
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(address, tag, key) {
            failures -= 1;
            if (failures >= 0) throw notWritten("lookUpByKey");
            return messages.lookUpByKey(address, tag, key);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Waiting).start("a");
    await cluster.advance("2s");
    failures = 2;
    const asked = ask(handle).then(
      (answer) => answer,
      (error: unknown) => error,
    );
    await cluster.advance("2s");
    if (what === "result") await handle.signal("go", "on");
    await cluster.advance("2s");
    expect(await asked).toBe({ result: "on", query: "the door" }[what]);
  });

  it.each(WITH_LIMITS)("is given up in time where that takes longer: %s", async (_what, ask) => {
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [waiting],
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(address, tag, key) {
            await door.passed();
            return messages.lookUpByKey(address, tag, key);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Waiting).start("a");
    await cluster.advance("2s");
    door.close();
    const controller = new AbortController();
    const ends: unknown[] = [];
    for (const limits of [{ timeout: "1s" }, { signal: controller.signal }] as const)
      void ask(handle, limits).catch((error: unknown) => ends.push(error));
    await cluster.advance("2s");
    expect(ends).toEqual([expect.any(TimeoutError)]);
    expect(String(ends)).toContain("The look-up of workflow:Waiting/a.execute gave no reply");
    expect(String(ends)).toContain("It changes nothing: repeat it,");
    controller.abort();
    await cluster.advance("1s");
    expect(ends).toEqual([expect.any(TimeoutError), expect.any(InterruptedError)]);
    door.open();
  });

  it.each(WITH_LIMITS)("is given its time once, for the finding and what follows: %s", async (_what, ask) => {
    const door = new Door();
    await using cluster = await createTestCluster({
      register: [waiting],
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            await cluster.sleep(900);
            return messages.lookUpByKey(...args);
          },
          async saveRequest(...args) {
            await door.passed();
            return messages.saveRequest(...args);
          },
        },
      })),
    });
    const handle = await cluster.workflow(Waiting).start("a");
    await cluster.advance("2s");
    door.close();
    // A query is lost on its way.
    cluster.faults({ drop: 1 });
    let end: unknown = null;
    void ask(handle, { timeout: "1s" }).catch((error: unknown) => (end = error));
    await cluster.advance("950ms");
    expect(end).toBeNull();
    await cluster.advance("100ms");
    expect(end).toBeInstanceOf(TimeoutError);
    // As it was given, not what was left of it.
    expect(String(end)).toContain("within 1000 ms");
    door.open();
  });

  it("is not said not to run where its caller gives it up", async () => {
    await using cluster = await createTestCluster({ register: [waiting] });
    const handle = await cluster.workflow(Waiting).start("a");
    const given = handle.result({ signal: AbortSignal.abort() });
    await expect(given).rejects.toThrow("It may have run in part");
  });

  it("is not looked up once more when it is given up", async () => {
    let lookUps = 0;
    await using cluster = await createTestCluster({
      register: [waiting],
      tamper: tampering(() => ({
        messages: {
          async lookUpByKey() {
            lookUps += 1;
            throw notWritten("lookUpByKey");
          },
        },
      })),
    });
    const handle = await cluster.workflow(Waiting).start("a");
    const asked = handle.result({ timeout: "50ms" }).catch((error: unknown) => error);
    await cluster.advance("1 minute");
    expect(await asked).toBeInstanceOf(TimeoutError);
    expect(lookUps).toBe(1);
  });

  it("comes back in a test that awaits it and lets no time pass itself", async () => {
    let isFirst = true;
    await using cluster = await createTestCluster({
      register: [waiting],
      tamper: tampering(({ messages }) => ({
        messages: {
          async lookUpByKey(...args) {
            if (!isFirst) return messages.lookUpByKey(...args);
            isFirst = false;
            throw notWritten("lookUpByKey");
          },
        },
      })),
    });
    const handle = await cluster.workflow(Waiting).start("a");
    expect(await handle.poll()).toBeUndefined();
  });
});
