import { PGlite } from "@electric-sql/pglite";
import {
  messageStorageConformance,
  runnerStorageConformance,
  workflowStorageConformance,
} from "@holdfast/testing";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { embeddedBackend, runnersBackend, serverBackend } from "./backends.ts";

const url = inject("postgresUrl");

describe.skipIf(url === null).each(["pg", "postgres.js"] as const)(
  "on a PostgreSQL server, through %s",
  (driver) => {
    const storage = (): ReturnType<typeof serverBackend> => serverBackend(url ?? "", { driver });
    messageStorageConformance("PostgresMessageStorage", storage);
    workflowStorageConformance("PostgresWorkflowStorage", storage);
    runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
  },
);

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
