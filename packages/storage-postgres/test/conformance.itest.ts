import { PGlite } from "@electric-sql/pglite";
import {
  messageStorageConformance,
  runnerStorageConformance,
  workflowStorageConformance,
} from "@holdfast/testing";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { embeddedBackend, runnersBackend, serverBackend } from "./backends.ts";
import { bouncerBefore } from "./bouncer.ts";

const url = inject("postgresUrl");
const bouncer = await bouncerBefore(url);
afterAll(() => bouncer?.stop());

const DRIVERS = ["pg", "postgres.js"] as const;

describe.skipIf(url === null).each(DRIVERS)("on a PostgreSQL server, through %s", (driver) => {
  const storage = (): ReturnType<typeof serverBackend> => serverBackend(url ?? "", { driver });
  messageStorageConformance("PostgresMessageStorage", storage);
  workflowStorageConformance("PostgresWorkflowStorage", storage);
  runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
});

describe.skipIf(bouncer === null).each(DRIVERS)("through PgBouncer in transaction mode and %s", (driver) => {
  const options = { driver, pooler: "transaction", connectionString: bouncer?.url ?? "" } as const;
  const storage = (): ReturnType<typeof serverBackend> => serverBackend(url ?? "", options);
  messageStorageConformance("PostgresMessageStorage", storage);
  workflowStorageConformance("PostgresWorkflowStorage", storage);
  runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
});

describe("on PGlite", () => {
  let instance: PGlite;
  beforeAll(async () => {
    instance = await PGlite.create();
  });
  afterAll(() => instance.close());

  const storage = (): ReturnType<typeof embeddedBackend> => embeddedBackend(instance);
  messageStorageConformance("PostgresMessageStorage", storage);
  workflowStorageConformance("PostgresWorkflowStorage", storage);
  runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
});
