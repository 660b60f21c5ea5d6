import { expect, it } from "vitest";
import type { Transport } from "../adapter/transport.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";
import { guardedTransport } from "./guarded-transport.ts";

it("a message that the transport throws for is lost, but for one that is too large", () => {
  const ignore = (): void => undefined;
  const logged: unknown[] = [];
  const logger = {
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: (_message: string, fields?: object) => logged.push(fields),
  };
  let thrown: Error = new Error("the socket is closed");
  const transport: Transport = {
    start: () => Promise.resolve("a"),
    send() {
      throw thrown;
    },
    close: () => Promise.resolve(),
  };
  const guarded = guardedTransport(transport, logger);
  guarded.send("b", { type: "ping", nonce: "1" });
  expect(logged).toMatchObject([{ to: "b", message: "ping" }]);
  thrown = new PayloadTooLargeError({ what: "A message", payloadBytes: 2, limitBytes: 1 });
  expect(() => guarded.send("b", { type: "ping", nonce: "1" })).toThrow(thrown);
});

it("what an async transport rejects with is logged, and ends no process", async () => {
  const ignore = (): void => undefined;
  const logged: unknown[] = [];
  const error = (_message: string, fields?: object): unknown => logged.push(fields);
  const transport: Transport = {
    start: () => Promise.resolve("a"),
    send: () => Promise.reject(new Error("the socket is closed")) as never,
    close: () => Promise.resolve(),
  };
  const guarded = guardedTransport(transport, { debug: ignore, info: ignore, warn: ignore, error });
  guarded.send("b", { type: "ping", nonce: "1" });
  await new Promise((resolve) => setImmediate(resolve));
  expect(logged).toMatchObject([{ to: "b", message: "ping" }]);
});

it("one that was not opened rejects as it is closed, and does not throw", async () => {
  const ignore = (): void => undefined;
  const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const closed = guardedTransport(undefined as never, logger).close(0);
  await expect(closed).rejects.toThrow(TypeError);
});
