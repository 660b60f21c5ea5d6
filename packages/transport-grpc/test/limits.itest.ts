// Members of which one takes larger messages than the other, as while a deploy raises `maxMessageBytes`.

import { describe, expect, it } from "vitest";
import { PayloadTooLargeError, type WireMessage } from "@holdfast/core/adapter";
import { Member, ping } from "./member.ts";

const SMALL_BYTES = 65_536;
const LARGE_BYTES = 1_048_576;
/** More than one of them takes, less than the other does. */
const BETWEEN = ping("x".repeat(2 * SMALL_BYTES));

function nonces(messages: readonly WireMessage[]): readonly string[] {
  return messages.flatMap((message) => (message.type === "ping" ? [message.nonce] : []));
}

describe("a message that is larger than its receiver takes", () => {
  it.each(["the sender", "the receiver"])(
    "is refused at its sender, which is told of that limit, and nothing else is lost: on a link that %s opened",
    async (opener) => {
      await using sender = await Member.start({ maxMessageBytes: LARGE_BYTES });
      await using receiver = await Member.start({ maxMessageBytes: SMALL_BYTES });
      const [from, to] = opener === "the sender" ? [sender, receiver] : [receiver, sender];
      expect(await from.reaches(to.address)).toBe(true);
      const send = (): void => sender.transport.send(receiver.address, BETWEEN);
      expect(send).toThrow(PayloadTooLargeError);
      expect(send).toThrow(`the limit of ${SMALL_BYTES}`);
      expect(await sender.reaches(receiver.address)).toBe(true);
      expect(await receiver.reaches(sender.address)).toBe(true);
      expect([sender.gone, receiver.gone, sender.lost]).toEqual([[], [], []]);
    },
  );

  it("comes back as undelivered where that is not known yet, and is refused from then on; what is behind it arrives", async () => {
    await using sender = await Member.start({ maxMessageBytes: LARGE_BYTES });
    await using receiver = await Member.start({ maxMessageBytes: SMALL_BYTES });
    for (const message of [ping(1), BETWEEN, ping(2)]) sender.transport.send(receiver.address, message);
    await receiver.until(() => receiver.received.length >= 2);
    await sender.until(() => sender.lost.length > 0);
    expect(nonces(receiver.received)).toEqual(["1", "2"]);
    expect(sender.lost).toEqual([BETWEEN]);
    expect(() => sender.transport.send(receiver.address, BETWEEN)).toThrow(PayloadTooLargeError);
    expect([sender.gone, receiver.gone]).toEqual([[], []]);
  });

  it.each<["reply" | "chunk", (requestId: string, value: string) => WireMessage]>([
    ["reply", (requestId, value) => ({ type: "reply", reply: { requestId, exit: { ok: true, value } } })],
    ["chunk", (requestId, value) => ({ type: "chunk", chunk: { requestId, index: 0, value } })],
  ])(
    "whose caller waits for it, a %s, comes there as the error that it is, in its place",
    async (_, answer) => {
      await using sender = await Member.start({ maxMessageBytes: LARGE_BYTES });
      await using receiver = await Member.start({ maxMessageBytes: SMALL_BYTES });
      const large = answer("large", "x".repeat(2 * SMALL_BYTES));
      for (const message of [answer("before", "1"), large, answer("after", "2")])
        sender.transport.send(receiver.address, message);
      await receiver.until(() => receiver.received.length >= 3);
      expect(receiver.received).toEqual([
        expect.objectContaining(answer("before", "1")),
        expect.objectContaining({
          type: "reply",
          reply: {
            requestId: "large",
            exit: {
              ok: false,
              error: expect.objectContaining({
                name: "PayloadTooLargeError",
                code: "PAYLOAD_TOO_LARGE",
                message: expect.stringContaining(`the limit of ${SMALL_BYTES}`) as unknown,
                own: true,
              }) as unknown,
            },
          },
        }),
        expect.objectContaining(answer("after", "2")),
      ]);
      await sender.until(() => sender.lost.length > 0);
      expect(sender.lost).toEqual([large]);
    },
  );

  it("is sent once the receiver was started again and takes it", async () => {
    await using sender = await Member.start({ maxMessageBytes: LARGE_BYTES });
    const before = await Member.start({ maxMessageBytes: SMALL_BYTES });
    expect(await sender.reaches(before.address)).toBe(true);
    await before[Symbol.asyncDispose]();
    await sender.until(() => sender.gone.length > 0);
    await using after = await Member.start({ listen: before.address, maxMessageBytes: LARGE_BYTES });
    expect(await after.reaches(sender.address)).toBe(true);
    sender.transport.send(after.address, BETWEEN);
    await after.until(() => nonces(after.received).length > 0);
    expect(nonces(after.received)).toEqual(nonces([BETWEEN]));
  });
});

describe("messages that share a frame", () => {
  it("are no more in it than their receiver takes", async () => {
    await using sender = await Member.start({ maxMessageBytes: LARGE_BYTES });
    await using receiver = await Member.start({ maxMessageBytes: SMALL_BYTES });
    const payload = "x".repeat(SMALL_BYTES / 2);
    const all = Array.from({ length: 20 }, (_, index) => `${index} ${payload}`);
    for (const nonce of all) sender.transport.send(receiver.address, ping(nonce));
    await receiver.until(() => receiver.received.length >= all.length || receiver.gone.length > 0);
    expect(nonces(receiver.received)).toEqual(all);
    expect(receiver.gone).toEqual([]);
  });
});
