import { afterAll, describe, inject } from "vitest";
import { allSuites } from "./all-suites.ts";
import { serverBackend } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

describe.skipIf(bouncer === null).each(["pg", "postgres.js"] as const)(
  "through PgBouncer in transaction mode and %s",
  (driver) => {
    const options = { driver, pooler: "transaction", connectionString: bouncer?.url ?? "" } as const;
    allSuites(() => serverBackend(url ?? "", options));
  },
);
