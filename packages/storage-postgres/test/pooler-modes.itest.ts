// PgBouncer that the options do not fit: said at the start, and not by what fails later.

import { afterAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { postgres } from "../src/index.ts";
import { newSchema, services } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";

const url = inject("postgresUrl");
const bouncers = {
  refusing: await bouncerBefore(url, { mode: "session", ignoresSettings: false }),
  keeping: await bouncerBefore(url, { mode: "session" }),
  sharing: await bouncerBefore(url, { mode: "transaction", ignoresSettings: true }),
};
afterAll(async () => {
  for (const bouncer of Object.values(bouncers)) await bouncer?.stop();
});

describe.skipIf(bouncers.keeping === null).each(["pg", "postgres.js"] as const)(
  "PgBouncer that was not named as the pooler, through %s",
  (driver) => {
    const open = (bouncer: keyof typeof bouncers) =>
      postgres({
        driver,
        connectionString: bouncers[bouncer]?.url ?? "",
        schema: newSchema(),
        poolSize: 4,
      }).open(services());

    it.each([
      ["refuses our settings of a session", "refusing"],
      ["is in transaction mode", "sharing"],
    ] as const)("is named at the start where it %s", async (_, bouncer) => {
      const opened = open(bouncer);
      await expect(opened).rejects.toMatchObject({ code: "CONFIG", option: "pooler" });
      await expect(opened).rejects.toThrow("ignore_startup_parameters");
    });

    it("is taken where it keeps sessions, and ignores the settings", async () => {
      const session = await open("keeping");
      onTestFinished(() => session.close());
      expect(await session.messages.lookUp(["none"])).toEqual([]);
    });
  },
);
