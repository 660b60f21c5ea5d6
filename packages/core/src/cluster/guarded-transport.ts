import type { Transport } from "../adapter/transport.ts";
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
      try {
        transport.send(to, message);
      } catch (error) {
        if (error instanceof PayloadTooLargeError) throw error;
        const fields = { to, message: message.type, error: describeThrown(error) };
        logger.error("The transport threw instead of sending a message, which is lost", fields);
      }
    },
    close: (timeoutMs) => transport.close(timeoutMs),
  };
}
