import type { Transport } from "@holdfast/core/adapter";

/** One network of a transport, as its suite uses it. */
export interface TransportBackend {
  /** Makes the transport of one more member, with an address of its own. Not started. */
  open(): Promise<Transport>;
  /** An address of the right form at which nobody listens. */
  readonly deadAddress: string;
  /** The largest message that this backend's transports carry, in bytes, or null where nothing limits it. */
  readonly maxMessageBytes: number | null;
  /** Resolves when what was sent has arrived, or will not: by running a few turns, or by waiting. */
  settle(): Promise<void>;
  /** Ends the network. The suite has closed its members before. */
  dispose(): Promise<void>;
}

/** Called once for each case. */
export type TransportFactory = () => TransportBackend | Promise<TransportBackend>;
