import { expect, it } from "vitest";
import { SystemClock } from "../clock/system-clock.ts";
import { guardedEvents } from "./events.ts";

it("a listener that throws keeps neither the others nor who emits from going on, and is logged", () => {
  const ignore = (): void => undefined;
  const logged: unknown[] = [];
  const events = guardedEvents({
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (_message, fields) => logged.push(fields?.["event"]),
  });
  let heard = 0;
  events.on("shardLost", () => {
    throw new Error("told to");
  });
  events.once("shardLost", () => (heard += 1));
  expect(events.emit("shardLost", { shardId: "default:1", reason: "" })).toBe(true);
  events.emit("shardLost", { shardId: "default:1", reason: "" });
  expect(heard).toBe(1);
  expect(logged).toEqual(["shardLost", "shardLost"]);
  expect(events.emit("attached")).toBe(false);
});

it("what an async listener rejects with is logged, and ends no process", async () => {
  const ignore = (): void => undefined;
  const logged: unknown[] = [];
  const logger = {
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (message: string) => logged.push(message),
  };
  const events = guardedEvents(logger);
  events.on("attached", () => Promise.reject(new Error("the pager is down")) as never);
  events.emit("attached");
  await new SystemClock().nextTurn();
  expect(logged).toEqual(["A listener of cluster.events threw"]);
});
