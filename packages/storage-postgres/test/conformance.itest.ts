import { PGlite } from "@electric-sql/pglite";
import {
  messageStorageConformance,
  runnerStorageConformance,
  workflowStorageConformance,
  type StorageBackend,
} from "@holdfast/testing";
import { afterAll, beforeAll, describe, inject } from "vitest";
import {
  embeddedBackend,
  emptiedBackend,
  runnersBackend,
  serverBackend,
  type PostgresBackend,
} from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

const DRIVERS = ["pg", "postgres.js"] as const;

/** @param open the one backend that all cases of the suites have, one after the other */
function allSuites(open: () => PostgresBackend): void {
  let backend: PostgresBackend;
  beforeAll(() => void (backend = open()));
  afterAll(() => backend.dispose());

  const storage = (): StorageBackend => emptiedBackend(backend);
  messageStorageConformance("PostgresMessageStorage", storage);
  workflowStorageConformance("PostgresWorkflowStorage", storage);
  runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
}

describe.skipIf(url === null).each(DRIVERS)("on a PostgreSQL server, through %s", (driver) => {
  allSuites(() => serverBackend(url ?? "", { driver }));
});

describe.skipIf(bouncer === null).each(DRIVERS)("through PgBouncer in transaction mode and %s", (driver) => {
  const options = { driver, pooler: "transaction", connectionString: bouncer?.url ?? "" } as const;
  allSuites(() => serverBackend(url ?? "", options));
});

describe("on PGlite", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await PGlite.create();
  });
  afterAll(() => instance.close());

  allSuites(() => embeddedBackend(instance));
});
