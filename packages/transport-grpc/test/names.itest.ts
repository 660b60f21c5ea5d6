// Peers at names whose addresses change, as those of a StatefulSet's pods do.

import dns from "node:dns";
import { afterEach, describe, expect, it, vi } from "vitest";
import { freePort } from "../../../test/services/free-port.ts";
import { Member } from "./member.ts";

/** The library asks for a name again after 30 s only, unless it is told otherwise. */
const IN_TIME_MS = 25_000;

afterEach(() => void vi.restoreAllMocks());

describe("a peer that comes back", () => {
  it(
    "at another address under its name is reached within seconds",
    async () => {
      let address = "127.0.0.1";
      const lookup = async (): Promise<readonly dns.LookupAddress[]> => [{ address, family: 4 }];
      vi.spyOn(dns.promises, "lookup").mockImplementation(lookup as unknown as typeof dns.promises.lookup);
      const port = await freePort();
      const name = `runner-0.test:${port}`;
      const first = await Member.start({ listen: `127.0.0.1:${port}`, advertise: name });
      await using member = await Member.start();
      expect(await member.reaches(name)).toBe(true);
      await first[Symbol.asyncDispose]();
      // The name stands for the old one for a moment still.
      expect(await member.reaches(name)).toBe(false);
      address = "127.0.0.2";
      await using _ = await Member.start({ listen: `127.0.0.2:${port}`, advertise: name });
      while (!(await member.reaches(name))) await new Promise((resolve) => setTimeout(resolve, 50));
    },
    IN_TIME_MS,
  );
});
