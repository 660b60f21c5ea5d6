import { PGlite } from "@electric-sql/pglite";
import {
  messageStorageConformance,
  runnerStorageConformance,
  workflowStorageConformance,
} from "@holdfast/testing";
import { afterAll, beforeAll, describe, inject } from "vitest";
import { embeddedBackend, runnersBackend, serverBackend } from "./backends.ts";

const url = inject("postgresUrl");

describe.skipIf(url === null)("on a PostgreSQL server", () => {
  const storage = (): ReturnType<typeof serverBackend> => serverBackend(url ?? "");
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
