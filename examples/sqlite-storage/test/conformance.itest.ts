import { messageStorageConformance, workflowStorageConformance } from "@holdfast/testing";
import { sqliteBackend } from "./backends.ts";

messageStorageConformance("SqliteMessageStorage", sqliteBackend);
workflowStorageConformance("SqliteWorkflowStorage", sqliteBackend);
