import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A proxy before a server, which can lose a connection at the worst moment: after a statement went out, before its answer. */
export class CuttingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #state: { needle: string | null };

  private constructor(url: string, server: Server, sockets: Set<Socket>, state: { needle: string | null }) {
    this.url = url;
    this.#server = server;
    this.#sockets = sockets;
    this.#state = state;
  }

  static async start(target: string): Promise<CuttingProxy> {
    const { hostname, port } = new URL(target);
    const sockets = new Set<Socket>();
    const state: { needle: string | null } = { needle: null };
    const server = createServer((client) => {
      const upstream = connect(Number(port === "" ? 5432 : port), hostname);
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          sockets.delete(socket);
          client.destroy();
          upstream.end();
        });
      }
      upstream.on("data", (data) => client.write(data));
      client.on("data", (data) => {
        upstream.write(data);
        if (state.needle === null || !data.includes(state.needle)) return;
        state.needle = null;
        upstream.removeAllListeners("data");
        upstream.resume();
        client.destroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = new URL(target);
    url.hostname = "127.0.0.1";
    url.port = String((server.address() as AddressInfo).port);
    return new CuttingProxy(url.href, server, sockets, state);
  }

  /** Forwards the next data that hold `needle`, and then cuts that connection. */
  cutAfter(needle: string): void {
    this.#state.needle = needle;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
