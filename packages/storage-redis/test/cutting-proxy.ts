import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** How a connection is cut where a text goes by, on its way to the server. */
export interface Cut {
  readonly needle: string;
  /**
   * What of the message that holds it still reaches the server: all, nothing, or nothing until `deliverLate`, as if it lay
   * in a buffer on the way.
   */
  readonly reaches: "all" | "none" | "late";
}

/** A proxy before a server, which can lose a connection at the worst moment, or pass nothing on. */
export class CuttingProxy implements AsyncDisposable {
  readonly url: string;
  /** Accepts, and passes nothing on. */
  isBlackHole = false;
  /** Becomes a black hole where this goes by. */
  blackHoleAt: string | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: Cut | null = null;
  #late: (() => Promise<void>)[] = [];

  private constructor(target: URL, server: Server) {
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
    server.on("connection", (client) => this.#join(client, connect(Number(target.port), target.hostname)));
  }

  static async start(target: string): Promise<CuttingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new CuttingProxy(new URL(target), server);
  }

  /** Cuts the next connection on which `needle` goes by. */
  cutAt(cut: Cut): void {
    this.#cut = cut;
  }

  /** Delivers what cut connections hold back, and resolves once the server has answered each of them. */
  async deliverLate(): Promise<void> {
    await Promise.all(this.#late.splice(0).map((deliver) => deliver()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, upstream: Socket): void {
    let isCut = false;
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        if (isCut) return;
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.on("data", (data) => {
      if (!isCut && !this.isBlackHole) client.write(data);
    });
    client.on("data", (data) => {
      if (this.blackHoleAt !== null && data.includes(this.blackHoleAt)) this.isBlackHole = true;
      if (this.isBlackHole || isCut) return;
      const cut = this.#cut;
      if (cut === null || !data.includes(cut.needle)) {
        upstream.write(data);
        return;
      }
      this.#cut = null;
      isCut = true;
      if (cut.reaches === "all") upstream.end(data, () => client.destroy());
      else client.destroy();
      if (cut.reaches === "none") upstream.end();
      if (cut.reaches === "late") {
        this.#late.push(async () => {
          const answered = new Promise<void>((resolve) => upstream.once("data", () => resolve()));
          upstream.write(data);
          await answered;
          upstream.destroy();
        });
      }
    });
  }
}
