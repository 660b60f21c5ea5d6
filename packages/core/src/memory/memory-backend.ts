import type { RunnersAdapter, StorageAdapter, TransportAdapter } from "../adapter/storage-adapter.ts";
import { MemoryEpochs } from "./memory-epochs.ts";
import { MemoryExecutions } from "./memory-executions.ts";
import { MemoryJournals } from "./memory-journals.ts";
import { MemoryMessageStorage } from "./memory-message-storage.ts";
import { MemoryMessages } from "./memory-messages.ts";
import { MemoryNetwork } from "./memory-network.ts";
import { MemoryRequests } from "./memory-requests.ts";
import { MemoryRunners, MemoryRunnerStorage } from "./memory-runner-storage.ts";
import { MemorySession } from "./memory-session.ts";
import { memoryTransport } from "./memory-transport.ts";
import { MemoryWorkflowStorage } from "./memory-workflow-storage.ts";

/**
 * A storage in the memory of this process. Each `open` gives one more session on the same data; closing a session ends
 * that session, and the data lives as long as this object.
 */
export function memoryStorage(): StorageAdapter {
  const epochs = new MemoryEpochs();
  const journals = new MemoryJournals(epochs);
  const requests = new MemoryRequests();
  const messages = new MemoryMessages(epochs, requests, (execution) => journals.forget(execution));
  const executions = new MemoryExecutions(epochs, requests, messages, journals);
  const members = new MemoryRunners();
  return {
    kind: "storage",
    open: async ({ clock }) => {
      const session = new MemorySession();
      const runners = new MemoryRunnerStorage(members, session, clock);
      return {
        messages: new MemoryMessageStorage(messages, session, clock),
        workflows: new MemoryWorkflowStorage(journals, executions, session),
        runners,
        close: async () => {
          session.close();
          runners.close();
        },
      };
    },
  };
}

/** Members and leases in the memory of this process, shared by all who open this object. */
export function memoryRunners(): RunnersAdapter {
  const members = new MemoryRunners();
  return {
    kind: "runners",
    open: async ({ clock }) => {
      const session = new MemorySession();
      const runners = new MemoryRunnerStorage(members, session, clock);
      return {
        runners,
        close: async () => {
          session.close();
          runners.close();
        },
      };
    },
  };
}

/** All that several runners of one process need to be a cluster. */
export interface MemoryBackend {
  readonly storage: StorageAdapter;
  readonly runners: RunnersAdapter;
  /** The network that the transports share. Tests set its `conduct`. */
  readonly network: MemoryNetwork;
  /** A transport on that network; each member may have its own. */
  transport(options?: { readonly address?: string }): TransportAdapter;
}

/** Makes a backend in the memory of this process: what its clusters share, and what is gone with the process. */
export function createMemoryBackend(): MemoryBackend {
  const network = new MemoryNetwork();
  return {
    storage: memoryStorage(),
    runners: memoryRunners(),
    network,
    transport: (options) => memoryTransport(network, options),
  };
}
