import { describe, expect, it } from "vitest";
import { Parking } from "./parking.ts";

describe("what comes for a shard that is on its way", () => {
  it("waits until that has come, a thousand of it: what comes on top goes on at once", async () => {
    const parking = new Parking();
    const wait = async (): Promise<void> => {
      await parking.wait("default:1");
      gone += 1;
    };
    let gone = 0;
    parking.open("default:1");
    const waiting = Array.from({ length: 1_003 }, wait);
    await Promise.all(waiting.slice(1_000));
    expect(gone).toBe(3);
    // It is expected anew, with what waits.
    parking.open("default:1");
    parking.close("default:1");
    await Promise.all(waiting);
    expect(gone).toBe(1_003);
    expect(parking.isOpen("default:1")).toBe(false);
  });
});
