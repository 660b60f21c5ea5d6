import { PayloadTooLargeError, ProtocolViolation, type WireMessage } from "@holdfast/core/adapter";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeFrame,
  decodeReply,
  encodeAck,
  encodeAsk,
  encodeBye,
  encodeData,
  encodeGreeting,
  encodeMessage,
  encodeReply,
} from "./frame.ts";

const greeting = { address: "holdfast.a", link: "holdfast.a.1.1" };
const messages: readonly WireMessage[] = [
  { type: "ping", nonce: '"ü 🚀\u0000' },
  { type: "known", requestId: "r", known: true },
];

describe("a frame", () => {
  it("comes back as it was encoded", () => {
    const data = { seq: 7, ack: 3, asks: true };
    const encoded = messages.map((message) => encodeMessage(message, 1_000));
    expect(decodeFrame(encodeData(data, encoded))).toEqual({ kind: "data", ...data, messages });
    expect(decodeFrame(encodeAck(3))).toEqual({ kind: "ack", ack: 3, asks: false, sent: null });
    expect(decodeFrame(encodeAsk(3, 9))).toEqual({ kind: "ack", ack: 3, asks: true, sent: 9 });
    expect(decodeFrame(encodeBye(3))).toEqual({ kind: "bye", ack: 3 });
    expect(decodeFrame(encodeBye(null))).toEqual({ kind: "bye", ack: null });
    expect(decodeFrame(encodeGreeting("welcome", greeting))).toEqual({ kind: "welcome", greeting });
  });

  it("that is none is told from one, whatever it is, and nothing of it is shown", () => {
    const secret = "a-secret";
    const json = fc.jsonValue().map((value) => JSON.stringify(value));
    const field = fc.constantFrom("hello", "welcome", "bye", "messages", "ack", "seq", "asks", "sent");
    const nearly = fc
      .dictionary(field, fc.jsonValue(), { minKeys: 1 })
      .map((fields) => JSON.stringify({ ack: 1, seq: 1, ...fields, secret }));
    fc.assert(
      fc.property(fc.oneof(fc.string(), json, nearly), (text) => {
        try {
          decodeFrame(Buffer.from(text));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
          expect(String(error)).not.toContain(secret);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    '{"hello":{"version":2,"address":"a.b","link":"a.b.c"}}',
    '{"hello":{"version":1,"address":"a.b"}}',
    '{"ack":-1}',
    '{"ack":1,"sent":"9"}',
    '{"ack":1,"seq":1.5,"messages":[]}',
    '{"ack":1,"seq":1,"messages":[{"type":"ping"}]}',
    '{"ack":1,"seq":1,"messages":[null]}',
    '{"ack":1,"seq":1,"messages":[{"type":"wake","shardIds":["x"]}]}',
    '{"ack":1,"seq":1,"messages":[{"type":"reply","reply":{"requestId":"r","exit":{}}}]}',
    "{}",
    "[]",
    "",
  ])("is refused: %s", (text) => {
    expect(() => decodeFrame(Buffer.from(text))).toThrow(ProtocolViolation);
  });

  it("of another release with the same protocol is read as it was meant, less what this one does not know", () => {
    const read = (text: string): unknown => decodeFrame(Buffer.from(text));
    // Before the first release nothing was said of what was sent.
    expect(read('{"ack":3,"asks":true}')).toEqual({ kind: "ack", ack: 3, asks: true, sent: null });
    expect(read('{"ack":3,"later":1}')).toEqual({ kind: "ack", ack: 3, asks: false, sent: null });
    expect(read('{"hello":{"version":1,"address":"h.a","link":"h.a.1.1","later":1}}')).toEqual({
      kind: "hello",
      greeting: { address: "h.a", link: "h.a.1.1" },
    });
    expect(read('{"seq":1,"ack":0,"messages":[{"type":"ping","nonce":"n","later":1}],"later":1}')).toEqual({
      kind: "data",
      seq: 1,
      ack: 0,
      asks: false,
      messages: [{ type: "ping", nonce: "n" }],
    });
  });

  it("says of another version that it is one", () => {
    const other = '{"hello":{"version":2}}';
    expect(() => decodeFrame(Buffer.from(other))).toThrow(expect.objectContaining({ isVersion: true }));
  });
});

describe("a reply subject", () => {
  it("names the link, and the frame if it has a number", () => {
    for (const reply of [
      { link: "holdfast.a.1.1", seq: 7 },
      { link: "holdfast.a.1.1", seq: null },
    ])
      expect(decodeReply(encodeReply(reply))).toEqual(reply);
  });

  it.each(["", "holdfast", ".", "a.", "a.-1", "a.1e3", "a.0x1", `a.${"9".repeat(20)}`])(
    "that has no number claims nothing of any frame, whatever it is: %j",
    (reply) => {
      expect(decodeReply(reply).seq).toBe(null);
    },
  );
});

describe("a message over the limit", () => {
  it("is refused, counted in bytes and not in characters", () => {
    const message: WireMessage = { type: "ping", nonce: "ü".repeat(100) };
    expect(() => encodeMessage(message, 150)).toThrow(PayloadTooLargeError);
    expect(encodeMessage(message, 300).length).toBeLessThan(300);
  });
});
