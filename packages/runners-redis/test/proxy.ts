// A way to Redis that loses commands, or delivers them late, as a network does: after their sender gave them up.

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface Way {
  readonly port: number;
  /** How many connections were made. */
  readonly count: number;
  /** All commands that came from clients, also those that were kept. */
  readonly commands: readonly string[];
  /**
   * Keeps the next command that has this text in it, and all that come after it on that connection. Nobody is told. What is
   * opened later is all right.
   */
  hold(text?: string): void;
  /** Ends the connection that the next command with this text came on, which goes no further. */
  cut(text: string): void;
  /** Resolves once a command is kept. */
  held(): Promise<void>;
  /** Delivers what was kept, in its order. Resolves to what Redis answered. */
  deliver(): Promise<string>;
  /** Ends what is open, and lets nobody in any more. What was kept may still be delivered. */
  shut(): void;
  close(): Promise<void>;
}

export async function wayTo(port: number): Promise<Way> {
  const sockets = new Set<Socket>();
  const commands: string[] = [];
  const kept: { readonly far: Socket; readonly data: Buffer[] }[] = [];
  const told: (() => void)[] = [];
  let next: { readonly text: string; readonly isCut: boolean } | null = null;
  const clients = new Set<Socket>();
  let isShut = false;
  let count = 0;
  const server = createServer((near) => {
    if (isShut) return void near.destroy();
    count += 1;
    clients.add(near);
    const far = connect(port, "127.0.0.1");
    let isKept = false;
    let rest: Buffer = Buffer.alloc(0);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => undefined);
    }
    far.on("data", (data) => near.writable && near.write(data));
    far.on("close", () => near.destroy());
    near.on("close", () => {
      if (!isKept) far.destroy();
    });
    near.on("data", (data) => {
      const read = commandsIn(Buffer.concat([rest, data]));
      rest = read.rest;
      for (const command of read.commands) {
        commands.push(command.toString());
        const isMeant = next !== null && command.includes(next.text);
        if (isMeant && next?.isCut === true) {
          next = null;
          near.destroy();
          return;
        }
        if (isMeant) {
          next = null;
          isKept = true;
          kept.push({ far, data: [] });
          for (const tell of told.splice(0)) tell();
        }
        if (isKept) kept.find((each) => each.far === far)?.data.push(command);
        else far.write(command);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    commands,
    get count() {
      return count;
    },
    hold(text = "") {
      next = { text, isCut: false };
    },
    cut(text) {
      next = { text, isCut: true };
    },
    held() {
      return kept.length > 0 ? Promise.resolve() : new Promise((resolve) => told.push(resolve));
    },
    async deliver() {
      const answers = kept.splice(0).map(async ({ far, data }) => {
        const answer = once(far, "data");
        far.write(Buffer.concat(data));
        return String(await answer);
      });
      return (await Promise.all(answers)).join("");
    },
    shut() {
      isShut = true;
      for (const near of clients) near.destroy();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The whole commands at the beginning, each an array of texts as RESP has it, and what follows them. */
function commandsIn(data: Buffer): { readonly commands: readonly Buffer[]; readonly rest: Buffer } {
  const commands: Buffer[] = [];
  let start = 0;
  let at = 0;
  const number = (): number => {
    const end = data.indexOf("\r\n", at);
    const value = end < 0 ? Number.NaN : Number(data.toString("latin1", at + 1, end));
    at = end + 2;
    return value;
  };
  for (;;) {
    let left = number();
    while (left > 0) {
      const size = number();
      left = Number.isNaN(size) ? Number.NaN : left - 1;
      at += size + 2;
    }
    if (Number.isNaN(left) || at > data.length) return { commands, rest: data.subarray(start) };
    commands.push(data.subarray(start, at));
    start = at;
  }
}
