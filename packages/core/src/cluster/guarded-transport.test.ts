import { expect, it } from "vitest";
import type { Transport } from "../adapter/transport.ts";
import { SystemClock } from "../clock/system-clock.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";
import { guardedTransport } from "./guarded-transport.ts";

const PING = { type: "ping", nonce: "1" } satisfies WireMessage;
const LOST = { to: "b", message: "ping" };

/** A guarded transport, and what was logged of it. */
function guarded(transport: Transport): { readonly transport: Transport; readonly logged: unknown[] } {
  const ignore = (): void => undefined;
  const logged: unknown[] = [];
  const error = (_message: string, fields?: object): unknown => logged.push(fields);
  const logger = { debug: ignore, info: ignore, warn: ignore, error };
  return { transport: guardedTransport(transport, logger), logged };
}

function sendingBy(send: () => void): Transport {
  return { start: () => Promise.resolve("a"), send, close: () => Promise.resolve() };
}

it("a message that the transport throws for is lost, but for one that is too large", () => {
  let thrown: Error = new Error("the socket is closed");
  const { transport, logged } = guarded(
    sendingBy(() => {
      throw thrown;
    }),
  );
  transport.send("b", PING);
  expect(logged).toMatchObject([LOST]);
  thrown = new PayloadTooLargeError({ what: "A message", payloadBytes: 2, limitBytes: 1 });
  expect(() => transport.send("b", PING)).toThrow(thrown);
});

it("what an async transport rejects with is logged, and ends no process", async () => {
  const { transport, logged } = guarded(
    sendingBy(() => Promise.reject(new Error("the socket is closed")) as never),
  );
  transport.send("b", PING);
  await new SystemClock().nextTurn();
  expect(logged).toMatchObject([LOST]);
});

it("one that was not opened rejects as it is closed, and does not throw", async () => {
  await expect(guarded(undefined as never).transport.close(0)).rejects.toThrow(TypeError);
});
