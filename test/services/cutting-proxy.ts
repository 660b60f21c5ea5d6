import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** How a connection is cut where a text goes by, on its way to the server. */
export interface Cut {
  readonly needle: string;
  /** What of the message that holds it still reaches the server at once. Default: all. */
  readonly reaches?: "none" | "half" | "all";
  /** Whether the server hears of the cut. Where not, the rest of the message waits for `deliverLate`. Default: true. */
  readonly isTold?: boolean;
}

/**
 * `black hole`: accepts, and passes nothing on. `no answers` and `no questions`: passes on in the other direction only.
 * `byte by byte`: passes everything on in the smallest pieces.
 */
export type ProxyMode = "open" | "black hole" | "no answers" | "no questions" | "byte by byte";

/** A proxy before a server, which can lose a connection at the worst moment, or be worse than lost. */
export class CuttingProxy implements AsyncDisposable {
  readonly url: string;
  mode: ProxyMode = "open";
  /** Becomes a black hole where this goes by on its way to the server, and lets that through no more. */
  blackHoleAt: string | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: Cut | null = null;
  #misspelt: string | null = null;
  #late: (() => Promise<void>)[] = [];
  /** Raised by `freeze`: connections from before pass nothing on. */
  #generation = 0;

  private constructor(target: string, server: Server) {
    const { hostname, port } = new URL(target);
    const url = new URL(target);
    url.hostname = "127.0.0.1";
    url.port = String((server.address() as AddressInfo).port);
    this.url = url.href;
    this.#server = server;
    server.on("connection", (client) =>
      this.#join(client, connect(Number(port === "" ? 5432 : port), hostname)),
    );
  }

  static async start(target: string): Promise<CuttingProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new CuttingProxy(target, server);
  }

  /** Forwards the next data that hold `needle`, and then cuts that connection. */
  cutAfter(needle: string): void {
    this.#cut = { needle };
  }

  /** Cuts the next connection on which `needle` goes by. */
  cutAt(cut: Cut): void {
    this.#cut = cut;
  }

  /** Delivers what cut connections did not, and resolves once the server has closed each of them, or answered. */
  async deliverLate(): Promise<void> {
    await Promise.all(this.#late.splice(0).map((deliver) => deliver()));
  }

  /** Changes a letter of `needle` in the next data that hold it: the server refuses that statement, and no other. */
  misspell(needle: string): void {
    this.#misspelt = needle;
  }

  /** Loses every connection that there is without a word. New ones pass everything on. */
  freeze(): void {
    this.#generation += 1;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, upstream: Socket): void {
    const pass = { toServer: passer(upstream), toClient: passer(client) };
    let isCut = false;
    const generation = this.#generation;
    const isFrozen = (): boolean => generation < this.#generation;
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        this.#sockets.delete(socket);
        if (isCut) return;
        client.destroy();
        upstream.end();
      });
    }
    upstream.on("data", (data) => {
      if (isCut || isFrozen() || this.mode === "black hole" || this.mode === "no answers") return;
      pass.toClient(data, this.mode);
    });
    client.on("data", (data) => {
      if (this.blackHoleAt !== null && data.includes(this.blackHoleAt)) this.mode = "black hole";
      if (isFrozen() || this.mode === "black hole" || this.mode === "no questions") return;
      const misspeltAt = this.#misspelt === null ? -1 : data.indexOf(this.#misspelt);
      if (misspeltAt >= 0) {
        this.#misspelt = null;
        data.write("_", misspeltAt);
      }
      const cut = this.#cut;
      const at = cut === null ? -1 : data.indexOf(cut.needle);
      if (cut === null || at < 0) {
        pass.toServer(data, this.mode);
        return;
      }
      this.#cut = null;
      isCut = true;
      // Behind the kind and the length of a plain query of PostgreSQL; of what Redis takes a part alone is nothing, too.
      const end = { none: at - 5, half: at + 1, all: data.length }[cut.reaches ?? "all"];
      upstream.write(data.subarray(0, end));
      client.destroy();
      if (cut.isTold !== false) {
        upstream.end();
        return;
      }
      this.#late.push(async () => {
        if (upstream.destroyed) return;
        const over = new Promise<void>((resolve) => {
          upstream.once("data", () => resolve());
          upstream.once("close", () => resolve());
        });
        upstream.write(data.subarray(end));
        await over;
      });
    });
  }
}

/** Writes in the order of calls, byte by byte where the mode says so. */
function passer(to: Socket): (data: Buffer, mode: ProxyMode) => void {
  let last: Promise<void> | null = null;
  return (data, mode) => {
    if (mode !== "byte by byte" && last === null) {
      to.write(data);
      return;
    }
    last = (last ?? Promise.resolve()).then(async () => {
      for (const byte of data) {
        to.write(Uint8Array.of(byte));
        await new Promise(setImmediate);
      }
    });
  };
}
