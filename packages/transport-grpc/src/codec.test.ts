import { shardIdOf, type Envelope, type WireMessage } from "@holdfast/core/adapter";
import { describe, expect, it } from "vitest";
import { decodeMessage } from "./codec.ts";
import { decodeFrame, encodeHello } from "./protocol.ts";

const requestId = "r1";
const shardId = shardIdOf("default", 7);
const envelope: Envelope = {
  requestId,
  address: { entityType: "Account", entityId: "a", shardId },
  tag: "pay",
  payload: "[5]",
  headers: { tenant: "ä" },
  persisted: true,
  expects: "stream",
  deduplicationKey: "k",
  deliverAt: 1_893_456_000_123,
  uninterruptible: true,
  fromInside: true,
  sender: "s",
  readPendingFirst: true,
};
const cause = { name: "Error", message: "why", code: null, stack: null, data: null, cause: null, own: false };
const error = {
  name: "PayError",
  className: "Declined",
  message: "no",
  code: "PAY",
  stack: "at",
  data: '{"retryable":false}',
  cause,
  own: true,
};

/** Frames of version 1 of the protocol as they were written before the first release. Do not write them anew. */
const FRAMES: readonly (readonly [WireMessage, string])[] = [
  [
    { type: "request", envelope, sending: 3 },
    "124f0a4d0a02723112074163636f756e741a0161220964656661756c743a372a0370617932035b355d3a0c0a0674656e616e741202c3a4" +
      "4001480252016b58fbe896d68d37600168017201737801800103",
  ],
  [{ type: "accepted", requestId }, "120612040a027231"],
  [
    { type: "rejected", requestId, code: "NOT_ASSIGNED", detail: "moved", sending: 0 },
    "12111a0f0a02723110011a056d6f7665642000",
  ],
  [
    { type: "reply", reply: { requestId, exit: { ok: true, value: "1" } }, keptFrom: 300 },
    "120c220a0a02723112013120ac02",
  ],
  [
    { type: "reply", reply: { requestId, exit: { ok: false, error } } },
    "125222500a0272311a480a085061794572726f7212084465636c696e65641a026e6f22035041592a02617432137b22726574727961626c65" +
      "223a66616c73657d3a0e0a054572726f721a03776879400040012000",
  ],
  [
    { type: "chunk", chunk: { requestId, index: 1, value: "2" }, keptFrom: 1 },
    "120d2a0b0a02723110011a01322001",
  ],
  [{ type: "acknowledge", requestId, upTo: 9 }, "120832060a0272311009"],
  [{ type: "interrupt", requestId, shardId }, "12113a0f0a027231120964656661756c743a37"],
  [{ type: "probe", requestId }, "120642040a027231"],
  [{ type: "known", requestId, known: true }, "12084a060a0272311001"],
  [{ type: "wake", shardIds: [shardId] }, "120d520b0a0964656661756c743a37"],
  [{ type: "released", shardIds: [shardId] }, "120d5a0b0a0964656661756c743a37"],
  [{ type: "ping", nonce: "n" }, "120562030a016e"],
  [{ type: "pong", nonce: "n" }, "12056a030a016e"],
];

function read(frame: string): readonly WireMessage[] {
  return decodeFrame(Buffer.from(frame, "hex")).messages.map(decodeMessage);
}

describe("a frame of another release with the same protocol", () => {
  it.each(FRAMES)("is read as it was meant: %j", (message, frame) => {
    expect(read(frame)).toEqual([message]);
  });

  it("may have fields that this one does not know", () => {
    expect(read("120812060a0272317801")).toEqual([{ type: "accepted", requestId }]);
  });

  it("says who sends, in the same way", () => {
    const hello = {
      protocolVersion: 1,
      address: "10.0.0.1:9000",
      instanceId: "i",
      maxMessageBytes: 4_259_840,
    };
    const frame = "0a190801120d31302e302e302e313a393030301a01692080808402";
    expect(decodeFrame(Buffer.from(frame, "hex")).hello).toEqual(hello);
    expect(encodeHello(hello).toString("hex")).toBe(frame);
  });
});
