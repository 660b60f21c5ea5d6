import { expect, inject, it } from "vitest";
import { member } from "../../../test/member.ts";
import { serverBackend } from "./backends.ts";

const server = inject("postgresUrl");
const TTL_MS = 600;

it.skipIf(server === null)(
  "keeps no lease for longer than its term where the server's clock was set back",
  async () => {
    const backend = serverBackend(server ?? "");
    const { runners, close } = await backend.open();
    try {
      if (runners === null) throw new Error("The storage has no members.");
      await runners.register(member("r1"), TTL_MS);
      await runners.acquireShards("r1", ["default:0"]);
      await runners.register(member("r2"), 60_000);
      // As a lease looks that was given before the clock was set back by two months.
      await backend.sql(
        `UPDATE ${backend.schema}.runners SET expires_at = expires_at + interval '60 days' WHERE runner_id = 'r1'`,
      );
      await runners.watch(() => undefined);
      await expect
        .poll(async () => (await runners.listRunners()).map(({ runnerId }) => runnerId), { timeout: 10_000 })
        .toEqual(["r2"]);
      expect(await runners.acquireShards("r2", ["default:0"])).toEqual(["default:0"]);
      expect(await runners.refresh("r2")).toBe("held");
    } finally {
      await close();
      await backend.dispose();
    }
  },
);
