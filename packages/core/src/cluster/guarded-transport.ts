import type { Transport } from "../adapter/transport.ts";
import { callBack } from "../contract/call-back.ts";
import type { Logger } from "../contract/logger.ts";
import { describeThrown } from "../contract/thrown.ts";
import { PayloadTooLargeError } from "../errors/storage.ts";

/**
 * A transport of the user's own may throw where it should tell `undelivered`, as a socket does that is closed: under a timer, or
 * under what another peer sent, that would end the process. Such a message is lost, which who waits for it finds out.
 */
export function guardedTransport(transport: Transport, logger: Logger): Transport {
  return {
    start: (listener) => transport.start(listener),
    send(to, message) {
      const lost = (error: unknown): void => {
        const fields = { to, message: message.type, error: describeThrown(error) };
        logger.error("The transport threw instead of sending a message, which is lost", fields);
      };
      try {
        const sent: unknown = transport.send(to, message);
        // An async one passes for one that returns nothing.
        if (sent !== undefined) callBack(() => sent, lost);
      } catch (error) {
        if (error instanceof PayloadTooLargeError) throw error;
        lost(error);
      }
    },
    // Async: where an adapter opened nothing, what was opened besides it is to be closed all the same.
    close: async (timeoutMs) => transport.close(timeoutMs),
  };
}
