// A time-out that the client library lacks: of a connection that was taken and is not answered. Its keepalive begins with the
// peer's first settings, and until they come it would wait for ever, with all streams to that address.

import type { Socket } from "node:net";
import type { ChannelCredentials } from "@grpc/grpc-js";

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** The same credentials, whose connections are ended where the peer says nothing for `timeoutMs` from the start. */
export function withAnswerTimeout(credentials: ChannelCredentials, timeoutMs: number): ChannelCredentials {
  // oxlint-disable-next-line no-underscore-dangle -- the one place where connections pass by; the version is pinned
  const create = credentials._createSecureConnector.bind(credentials);
  return Object.assign(credentials, {
    _createSecureConnector: (...parameters: Parameters<typeof create>): SecureConnector => {
      const connector = create(...parameters);
      return {
        connect: (socket) => connectInTime(connector, socket, timeoutMs),
        waitForReady: () => connector.waitForReady(),
        getCallCredentials: () => connector.getCallCredentials(),
        destroy: () => connector.destroy(),
      };
    },
  });
}

async function connectInTime(
  connector: SecureConnector,
  socket: Socket,
  timeoutMs: number,
): ReturnType<SecureConnector["connect"]> {
  // With TLS another one, which has read nothing by the end of the handshake.
  let established: Socket | null = null;
  const silent = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => {
      if (established !== null && established.bytesRead > 0) return;
      socket.destroy();
      // A handshake that is cut off ends with no event that the library listens for.
      reject(new Error(`The peer said nothing for ${timeoutMs} ms`));
    }, timeoutMs);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  });
  const result = await Promise.race([connector.connect(socket), silent]);
  established = result.socket;
  return result;
}
