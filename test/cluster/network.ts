// Network: TCP proxies in front of services and runners, and for each source and each target how they get on.
//
//   N1  A source is told apart by the address that its connections come from (source-address.ts).
//   N2  What is stopped on its way is kept, and goes on when the link is mended, as packets that are sent again do. Only
//       `cut` ends connections.

import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";

/**
 * How a link behaves. `silent` accepts connections and lets nothing through; `deaf` lets nothing through to the target, and
 * `mute` nothing back; `slow` takes 150 ms for each piece of data, each way.
 */
export type Conduct = "pass" | "cut" | "silent" | "deaf" | "mute" | "slow";

const SLOW_MS = 150;

interface Link {
  readonly source: string;
  readonly target: string;
  readonly near: Socket;
  far: Socket | null;
}

export class Network {
  readonly #servers: Server[] = [];
  readonly #links = new Set<Link>();
  readonly #conducts = new Map<string, Conduct>();

  /** Opens a proxy to a target, by name. Returns its port. @param port 0: any @param to where the target listens */
  async open(
    target: string,
    to: { host: string; port: number },
    at: { host: string; port: number },
  ): Promise<number> {
    const server = createServer((near) => this.#accept(target, to, near));
    await new Promise<void>((resolve, reject) =>
      server.once("error", reject).listen(at.port, at.host, resolve),
    );
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** From now on connections from the source to the target behave so, those that are open included. */
  set(source: string, target: string, conduct: Conduct): void {
    this.#conducts.set(`${source} ${target}`, conduct);
    for (const link of this.#links) if (link.source === source && link.target === target) this.#apply(link);
  }

  /** Every link passes again. */
  heal(): void {
    this.#conducts.clear();
    for (const link of this.#links) this.#apply(link);
  }

  async close(): Promise<void> {
    for (const link of this.#links) this.#end(link);
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  #conduct(link: Link): Conduct {
    return this.#conducts.get(`${link.source} ${link.target}`) ?? "pass";
  }

  #accept(target: string, to: { host: string; port: number }, near: Socket): void {
    const link: Link = { source: near.remoteAddress ?? "", target, near, far: null };
    near.on("error", () => undefined);
    if (this.#conduct(link) === "cut") {
      near.resetAndDestroy();
      return;
    }
    this.#links.add(link);
    const far = connect(to);
    far.on("error", () => undefined);
    link.far = far;
    near.setNoDelay(true);
    far.setNoDelay(true);
    this.#carry(link, near, far);
    this.#carry(link, far, near);
    this.#apply(link);
  }

  #carry(link: Link, from: Socket, to: Socket): void {
    from.on("data", (data) => {
      const write = (): void => {
        if (to.destroyed || to.write(data)) return;
        from.pause();
        to.once("drain", () => this.#apply(link));
      };
      if (this.#conduct(link) === "slow") setTimeout(write, SLOW_MS);
      else write();
    });
    // An end goes the way of the data before it: a stopped link does not let it through.
    from.on("end", () => (this.#conduct(link) === "slow" ? setTimeout(() => to.end(), SLOW_MS) : to.end()));
    from.on("close", () => {
      if (this.#isStopped(link, from)) return;
      to.destroy();
      this.#links.delete(link);
    });
  }

  /** Whether nothing that comes from this end is let through. */
  #isStopped(link: Link, from: Socket): boolean {
    const conduct = this.#conduct(link);
    return conduct === "silent" || (from === link.near ? conduct === "deaf" : conduct === "mute");
  }

  #apply(link: Link): void {
    if (this.#conduct(link) === "cut") return this.#end(link);
    for (const socket of [link.near, link.far]) {
      if (socket === null) continue;
      if (this.#isStopped(link, socket)) socket.pause();
      else if (socket.destroyed) this.#end(link, false);
      else socket.resume();
    }
  }

  #end(link: Link, isReset = true): void {
    this.#links.delete(link);
    for (const socket of [link.near, link.far]) {
      if (isReset) socket?.resetAndDestroy();
      else socket?.destroy();
    }
  }
}
