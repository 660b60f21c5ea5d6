// What tests of clusters and of adapters import.

export { messageStorageConformance } from "./conformance/message-storage.ts";
export type { RunnersBackend, RunnersFactory } from "./conformance/runners-backend.ts";
export type { StorageBackend, StorageFactory, TransactionProbe } from "./conformance/storage-backend.ts";
export type { TransportBackend, TransportFactory } from "./conformance/transport-backend.ts";
