import { describe, expect, it } from "vitest";
import { ProtocolViolation } from "@holdfast/core/adapter";
import { Link, type FrameStream } from "./link.ts";
import { encodeHello, PROTOCOL_VERSION, type Hello } from "./protocol.ts";

/** More than what a Hello without a limit stands for. */
const OWN_BYTES = 8 * 4_259_840;

function hello(maxMessageBytes: number): Hello {
  return { protocolVersion: PROTOCOL_VERSION, address: "127.0.0.1:1", instanceId: "x", maxMessageBytes };
}

/** A link to a peer that has sent this first frame. */
function linkTo(frame: Buffer): { readonly link: Link; readonly violations: readonly ProtocolViolation[] } {
  const violations: ProtocolViolation[] = [];
  let deliver: (frame: Buffer) => void = () => undefined;
  const stream: FrameStream = {
    write: () => true,
    end: () => undefined,
    on: (event: string, listener: (...args: never[]) => void) => {
      if (event === "data") deliver = listener as typeof deliver;
    },
  };
  const link = new Link({
    stream,
    own: hello(OWN_BYTES),
    bounds: { maxMessages: 10, maxBytes: 1_000 },
    helloTimeoutMs: 60_000,
    cancel: (violation) => {
      if (violation !== null) violations.push(violation);
    },
    opened: () => undefined,
    receive: () => undefined,
    tooLarge: () => undefined,
    closed: () => undefined,
  });
  deliver(frame);
  return { link, violations };
}

describe("a link", () => {
  it.each([
    ["says that it reads less", 65_536, 65_536],
    ["says that it reads more", 2 * OWN_BYTES, OWN_BYTES],
  ])("takes what both ends take, where the peer %s", (_, said, limit) => {
    const { link, violations } = linkTo(encodeHello(hello(said)));
    expect(violations).toEqual([]);
    expect(link.limitBytes).toBe(limit);
  });

  it.each([
    ["does not say how much it reads, as older ones", "0a08 0801 120161 1a0178"],
    ["says something that only later ones know", "0a0a 0801 120161 1a0178 7807"],
  ])("takes what was the default, where the peer %s", (_, frame) => {
    // Field 1 of Frame, a Hello: its version, address and instance; then a number as field 15.
    const { link, violations } = linkTo(Buffer.from(frame.replaceAll(" ", ""), "hex"));
    expect(violations).toEqual([]);
    expect(link.limitBytes).toBe(4_259_840);
  });

  it("refuses a peer that says that it reads next to nothing: not even errors would get through", () => {
    const { link, violations } = linkTo(encodeHello(hello(65_535)));
    expect(violations).toEqual([expect.any(ProtocolViolation)]);
    expect(link.takesMessages).toBe(false);
  });
});
