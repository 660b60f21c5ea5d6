import { describe, expect, it } from "vitest";
import { firstRequestIdOf } from "../data/request-id.ts";
import { firstIdSince, NewestRequests } from "./newest-requests.ts";

function idAt(time: number): string {
  return firstRequestIdOf(time).padEnd(32, "0");
}

describe("a request", () => {
  it("is the newest if no other of its sender has a higher id, or the same", () => {
    const newest = new NewestRequests(() => 0);
    const came = [2, 1, 2, 3].map((time) => newest.note({ sender: "a", requestId: idAt(time) }));
    expect(came).toEqual([true, false, false, true]);
    expect(newest.note({ sender: "b", requestId: idAt(1) })).toBe(true);
  });

  it("that may have come from a sender that was forgotten is not the newest", () => {
    let now = 1_000;
    const newest = new NewestRequests(() => now);
    const late = { sender: "sender 1", requestId: idAt(now) };
    for (let sender = 1; sender <= 10_000; sender += 1)
      newest.note({ sender: `sender ${sender}`, requestId: idAt(now) });
    now = 60_000;
    expect(newest.note({ sender: "one more", requestId: idAt(now) })).toBe(false);
    expect(newest.note(late)).toBe(false);
    expect(newest.note({ sender: "sender 1", requestId: idAt(70_000) })).toBe(true);
  });

  it("nor where clocks were set back before it was forgotten", () => {
    let now = 90_000;
    const newest = new NewestRequests(() => now);
    for (let sender = 1; sender <= 10_000; sender += 1)
      newest.note({ sender: `sender ${sender}`, requestId: idAt(now) });
    now = 1_000;
    newest.note({ sender: "one more", requestId: idAt(now) });
    expect(newest.note({ sender: "sender 1", requestId: idAt(90_000) })).toBe(false);
  });
});

describe("the first id since a moment", () => {
  it("is above what was sent before it, by clocks that are a little apart", () => {
    expect(idAt(10_900) < firstIdSince(10_000)).toBe(true);
    expect(idAt(12_000) >= firstIdSince(10_000)).toBe(true);
  });
});
