import {
  messageStorageConformance,
  runnerStorageConformance,
  workflowStorageConformance,
  type StorageBackend,
} from "@holdfast/testing";
import { afterAll, beforeAll } from "vitest";
import { emptiedBackend, runnersBackend, type PostgresBackend } from "./backends.ts";

/** @param open the one backend that all cases of the suites have, one after the other */
export function allSuites(open: () => PostgresBackend): void {
  let backend: PostgresBackend;
  beforeAll(() => void (backend = open()));
  afterAll(() => backend.dispose());

  const storage = (): StorageBackend => emptiedBackend(backend);
  messageStorageConformance("PostgresMessageStorage", storage);
  workflowStorageConformance("PostgresWorkflowStorage", storage);
  runnerStorageConformance("PostgresRunnerStorage", () => runnersBackend(storage()));
}
