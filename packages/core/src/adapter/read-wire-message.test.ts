import { describe, expect, it } from "vitest";
import { shardIdOf } from "../data/shard-id.ts";
import type { WireMessage } from "../data/wire-message.ts";
import { ProtocolViolation } from "./protocol-violation.ts";
import { readWireMessage } from "./read-wire-message.ts";

const request: Extract<WireMessage, { type: "request" }> = {
  type: "request",
  envelope: {
    requestId: "r",
    address: { entityType: "Counter", entityId: "a", shardId: shardIdOf("a:group", 7) },
    tag: "increment",
    payload: "{}",
    headers: { tenant: "ä" },
    persisted: true,
    expects: "stream",
    deduplicationKey: null,
    deliverAt: 1_893_456_000_123,
    uninterruptible: false,
    fromInside: true,
    sender: "memory://1",
    readPendingFirst: false,
  },
};

/** The request, with other fields in its envelope. */
function requestWith(fields: Readonly<Record<string, unknown>>): unknown {
  return { type: "request", envelope: { ...request.envelope, ...fields } };
}

describe("a message that was read", () => {
  it("is what was sent, less what this release does not know", () => {
    expect(readWireMessage(requestWith({ later: 1 }))).toEqual(request);
    expect(readWireMessage({ type: "wake", shardIds: [], later: 1 })).toEqual({ type: "wake", shardIds: [] });
  });

  it("keeps headers apart from what objects inherit", () => {
    const read = readWireMessage(requestWith({ headers: JSON.parse('{"__proto__":"x"}') as unknown }));
    expect(read.type === "request" && Object.entries(read.envelope.headers)).toEqual([["__proto__", "x"]]);
  });

  it.each<[string, unknown]>([
    ["no object", null],
    ["a list", []],
    ["of no type", {}],
    ["of a type that objects inherit", { type: "constructor" }],
    ["without an envelope", { type: "request" }],
    ["with an address that is none", requestWith({ address: "a" })],
    ["with a shard that is none", requestWith({ address: { ...request.envelope.address, shardId: "a" } })],
    ["with an empty id", requestWith({ requestId: "" })],
    ["with a payload that is no text", requestWith({ payload: {} })],
    ["with headers that are no text", requestWith({ headers: { tenant: 1 } })],
    ["that expects nothing known", requestWith({ expects: "toString" })],
    ["due before all time", requestWith({ deliverAt: -1 })],
    ["with a code that objects inherit", { type: "rejected", requestId: "r", code: "toString", detail: "" }],
    ["without an exit", { type: "reply", reply: { requestId: "r" } }],
    ["with an index that is no count", { type: "chunk", chunk: { requestId: "r", index: 0.5, value: "" } }],
    [
      "kept from what is no count",
      { type: "chunk", chunk: { requestId: "r", index: 1, value: "" }, keptFrom: -1 },
    ],
    [
      "after what is no count of chunks",
      { type: "reply", reply: { requestId: "r", exit: { ok: true, value: "1" } }, chunkCount: 0.5 },
    ],
    ["read from what is no count", { ...request, readFrom: -1 }],
    ["with shards that are no list", { type: "released", shardIds: "a:1" }],
  ])("is refused if it is %s", (_, value) => {
    expect(() => readWireMessage(value)).toThrow(ProtocolViolation);
  });

  it("is refused if its error has causes without end", () => {
    let error: unknown = null;
    for (let depth = 0; depth < 1_000; depth += 1)
      error = { name: "E", message: "", cause: error, own: false };
    const reply = { type: "reply", reply: { requestId: "r", exit: { ok: false, error } } };
    expect(() => readWireMessage(reply)).toThrow(/too long a chain/u);
  });
});
