import { describe, inject } from "vitest";
import { allSuites } from "./all-suites.ts";
import { serverBackend } from "./backends.ts";

const url = inject("postgresUrl");

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)(
  "on a PostgreSQL server, through %s",
  (driver) => {
    allSuites(() => serverBackend(url ?? "", { driver }));
  },
);
