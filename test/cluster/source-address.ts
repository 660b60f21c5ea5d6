// Source address: makes the connections of this process come from an address of its own.
//
// All of 127.0.0.0/8 is this machine on Linux, so that a proxy can tell the members of one machine apart by where their
// connections come from, and cut off one of them alone.

import net from "node:net";

type Connect = (this: net.Socket, ...args: unknown[]) => net.Socket;

/** From here on every TCP connection of this process comes from this address. */
export function comeFrom(address: string): void {
  const sockets = net.Socket.prototype as unknown as { connect: Connect };
  const { connect } = sockets;
  sockets.connect = function (...args) {
    // Node passes what it has normalized as one array; others pass options, or a port and a host.
    const [first, second]: readonly unknown[] = Array.isArray(args[0]) ? args[0] : args;
    if (typeof first === "object" && first !== null) {
      if (!("path" in first && typeof first.path === "string"))
        Object.assign(first, { localAddress: address });
      return connect.apply(this, args);
    }
    const options = {
      port: Number(first),
      host: typeof second === "string" ? second : "127.0.0.1",
      localAddress: address,
    };
    const callback = args.at(-1);
    return typeof callback === "function"
      ? connect.call(this, options, callback)
      : connect.call(this, options);
  };
}
