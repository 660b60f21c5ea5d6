// Dead letters that are written while somebody takes them back.

import { DeadLetteredError, defineEntity, rpc } from "@holdfast/core";
import { PersistenceError } from "@holdfast/core/adapter";
import { createTestCluster } from "@holdfast/testing";
import { describe, expect, it } from "vitest";
import { tampering } from "./tampering.ts";

const Mail = defineEntity({ name: "Mail", rpcs: { send: rpc<void, string>({ persisted: true }) } });

describe("a dead letter whose write has an unknown outcome", () => {
  it("stays requeued where somebody has done that by the time its runner looks again", async () => {
    let isAway = true;
    let written = 0;
    const mail = Mail.implement({
      send() {
        if (isAway) throw Object.assign(new Error("the server is away"), { retryable: true });
        return "sent";
      },
    });
    await using cluster = await createTestCluster({
      register: [mail],
      storageMessageMaxRetries: 0,
      tamper: tampering(({ messages }) => ({
        messages: {
          async saveDeadLetter(requestId, letter, fence) {
            await messages.saveDeadLetter(requestId, letter, fence);
            written += 1;
            if (written > 1) return;
            isAway = false;
            await messages.requeueDeadLetter(requestId, null);
            throw new PersistenceError({
              operation: "saveDeadLetter",
              outcome: "unknown",
              detail: "told to",
            });
          },
        },
      })),
    });
    const sent = cluster.entity(Mail, "m").send();
    await cluster.advance("1 minute");
    expect(await sent).toBe("sent");
    expect(written).toBe(1);
    expect(await cluster.deadLetters.list()).toEqual([]);
  });
});

it("is there as soon as the last attempt failed, and every attempt is told of once", async () => {
  const times: number[] = [];
  const warnings: string[] = [];
  const skip = (): void => undefined;
  const mail = Mail.implement({
    send() {
      times.push(cluster.now());
      throw Object.assign(new Error("the server is away"), { retryable: true });
    },
  });
  await using cluster = await createTestCluster({
    register: [mail],
    storageMessageMaxRetries: 2,
    logger: { debug: skip, info: skip, warn: (line) => void warnings.push(line), error: skip },
  });
  const sent = expect(cluster.entity(Mail, "m").send()).rejects.toThrow(DeadLetteredError);
  await cluster.advance("1 minute");
  await sent;
  const [letter] = await cluster.deadLetters.list();
  expect(times).toHaveLength(3);
  expect(letter?.deadSince.getTime()).toBe(times[2]);
  expect(warnings.map((line) => line.replace(/:.*/u, ""))).toEqual([
    "An attempt failed and is repeated",
    "An attempt failed and is repeated",
    "A request is a dead letter now",
  ]);
  expect(cluster.metrics.snapshot()).toMatchObject({ retried: 2 });
});
