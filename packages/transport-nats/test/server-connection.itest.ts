// A connection to a server that says what no healthy one does, or at a time at which none does: so it is none of NATS'.

import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { ConfigError } from "@holdfast/core/adapter";
import { SystemRandom } from "@holdfast/core/internal";
import { nkeys } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { checkOptions, type NatsSettings } from "../src/options.ts";
import { ServerConnection } from "../src/server-connection.ts";

/** Says what a test has it say. */
class OddServer {
  readonly lines: string[] = [];
  connections = 0;
  /** Called with each line of a client's, and answers it. True: there is no other answer. */
  answer: (line: string, socket: Socket) => boolean = () => false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #changed: (() => void) | null = null;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => this.#connected(socket));
  }

  static async start(): Promise<OddServer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const odd = new OddServer(server);
    onTestFinished(() => {
      odd.drop();
      server.close();
    });
    return odd;
  }

  get settings(): NatsSettings {
    const address = this.#server.address();
    const port = typeof address === "object" ? address?.port : 0;
    return checkOptions({ servers: `127.0.0.1:${port}` });
  }

  say(line: string): void {
    for (const socket of this.#sockets) socket.write(`${line}\r\n`);
  }

  inform(maxPayload: number): void {
    this.say(info(maxPayload));
  }

  /** Reads no more of those who are connected, and answers none of them. */
  freeze(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Resolves when `enough`. The test's time-out is the limit. */
  async until(enough: () => boolean): Promise<void> {
    while (!enough()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }

  /** How often a client subscribed. */
  get subscriptions(): number {
    return this.lines.filter((line) => line.startsWith("SUB ")).length;
  }

  #connected(socket: Socket): void {
    this.#sockets.add(socket);
    this.connections += 1;
    this.#changed?.();
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.write(`${info(1_000)}\r\n`);
    createInterface({ input: socket }).on("line", (line) => {
      this.lines.push(line);
      if (!this.answer(line, socket) && line === "PING") socket.write("PONG\r\n");
      this.#changed?.();
    });
  }
}

function info(maxPayload: number): string {
  const nonce = "a-nonce";
  return `INFO ${JSON.stringify({ version: "2.9.0", proto: 1, headers: true, max_payload: maxPayload, nonce })}`;
}

/** A connection, and what its listener was told. */
async function connectTo(settings: NatsSettings): Promise<{
  readonly connection: ServerConnection;
  readonly told: readonly string[];
  until(told: readonly string[]): Promise<void>;
}> {
  const told: string[] = [];
  let changed: (() => void) | null = null;
  const tell = (what: string): void => {
    told.push(what);
    changed?.();
  };
  const connection = await ServerConnection.open(settings, new SystemRandom(), {
    lost: () => tell("lost"),
    restored: () => tell("restored"),
  });
  onTestFinished(() => connection.close(0));
  const until = async (what: readonly string[]): Promise<void> => {
    while (told.length < what.length) await new Promise<void>((resolve) => (changed = resolve));
    expect(told).toEqual(what);
  };
  return { connection, told, until };
}

const ignore = (): void => undefined;

describe("a connection", () => {
  it("gives up a server that hangs although what was written to it cannot leave", async () => {
    const server = await OddServer.start();
    const { connection, until } = await connectTo({ ...server.settings, keepAliveMs: 100 });
    await connection.subscribe(["a.b"], ignore);
    server.inform(2_000_000);
    await server.until(() => connection.maxPayload === 2_000_000);
    server.freeze();
    // More than the system keeps on its way.
    for (let index = 0; index < 32; index += 1) connection.publish("x", new Uint8Array(1_000_000), "y");
    await until(["lost", "restored"]);
    await server.until(() => server.subscriptions === 2);
    expect(server.connections).toBe(2);
    expect(connection.isConnected).toBe(true);
  });

  it("whose client ended for good has another one, which subscribes anew", async () => {
    const server = await OddServer.start();
    const seed = nkeys.createUser().getSeed();
    const good = new Uint8Array(seed);
    const { connection, until } = await connectTo({
      ...server.settings,
      credentials: { kind: "nkeySeed", seed },
    });
    await connection.subscribe(["a.b"], ignore);
    // The client ends for good where an authenticator throws.
    seed.fill(0);
    server.drop();
    await until(["lost"]);
    expect(connection.isConnected).toBe(false);
    expect(connection.maxPayload).toBe(1_000);
    expect(connection.publish("x", new Uint8Array(), "y")).toBe(false);
    // One by the client that ended, and two in vain.
    await server.until(() => server.connections >= 4);
    expect(server.subscriptions).toBe(1);
    seed.set(good);
    await until(["lost", "restored"]);
    await server.until(() => server.subscriptions === 2);
    expect(connection.isConnected).toBe(true);
    expect(connection.publish("x", new Uint8Array(), "y")).toBe(true);
    await server.until(() => server.lines.includes("PUB x y 0"));
    // And so has that one.
    seed.fill(0);
    server.drop();
    await until(["lost", "restored", "lost"]);
    seed.set(good);
    await until(["lost", "restored", "lost", "restored"]);
  });

  it("does not come back once it is closed", async () => {
    const server = await OddServer.start();
    const seed = nkeys.createUser().getSeed();
    const good = new Uint8Array(seed);
    const { connection, told, until } = await connectTo({
      ...server.settings,
      credentials: { kind: "nkeySeed", seed },
    });
    await connection.subscribe(["a.b"], ignore);
    seed.fill(0);
    server.drop();
    await until(["lost"]);
    await connection.close(1_000);
    seed.set(good);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(told).toEqual(["lost"]);
    expect(server.subscriptions).toBe(1);
  });

  it("is lost whose subscription is refused later, and is there again when it is not", async () => {
    const server = await OddServer.start();
    const { connection, until } = await connectTo(server.settings);
    await connection.subscribe(["a.b"], ignore);
    let refusals = 3;
    server.answer = (line, socket) => {
      if (!line.startsWith("SUB ") || refusals === 0) return false;
      refusals -= 1;
      return socket.write(`-ERR 'Permissions Violation for Subscription to "a.b"'\r\n`);
    };
    server.drop();
    // The client itself connects again; then others are refused twice.
    const eachTime = ["lost", "restored"];
    await until([...eachTime, ...eachTime, ...eachTime, ...eachTime]);
    await server.until(() => server.subscriptions === 5);
    expect(refusals).toBe(0);
    expect(connection.isConnected).toBe(true);
  });

  it("is there before it subscribes anew, so that who greets this member then is answered", async () => {
    const server = await OddServer.start();
    const seed = nkeys.createUser().getSeed();
    const good = new Uint8Array(seed);
    const { connection, until } = await connectTo({
      ...server.settings,
      credentials: { kind: "nkeySeed", seed },
    });
    const answers: boolean[] = [];
    await connection.subscribe(["a.b"], () => {
      answers.push(connection.publish("answer", new Uint8Array(), "y"));
    });
    server.answer = (line, socket) => {
      const [command, , sid] = line.split(" ");
      return command === "SUB" && socket.write(`MSG a.b ${sid} 5\r\nhello\r\n`);
    };
    seed.fill(0);
    server.drop();
    await until(["lost"]);
    seed.set(good);
    await server.until(() => server.lines.includes("PUB answer y 0"));
    expect(answers).toEqual([true]);
  });

  it("takes no more than the server says, whenever it says so", async () => {
    const server = await OddServer.start();
    const { connection, until } = await connectTo(server.settings);
    await connection.subscribe([], ignore);
    expect(connection.maxPayload).toBe(1_000);
    server.inform(500);
    await connection.subscribe([], ignore);
    expect(connection.maxPayload).toBe(500);
    server.drop();
    await until(["lost"]);
    // Not 0: what is sent now is no larger than what the server takes.
    expect(connection.maxPayload).toBe(500);
    await until(["lost", "restored"]);
    expect(connection.maxPayload).toBe(1_000);
  });

  it.each<[string, (connection: ServerConnection, socket: Socket) => unknown]>([
    ["is lost", (_, socket) => socket.destroy()],
    ["is closed", (connection) => connection.close(0)],
  ])("that %s before it has its subscriptions says so, with an error of ours", async (_, breakIt) => {
    const server = await OddServer.start();
    const { connection } = await connectTo(server.settings);
    server.answer = (line, socket) => {
      if (line.startsWith("SUB ")) void breakIt(connection, socket);
      return line === "PING";
    };
    const subscribing = connection.subscribe(["a.b"], ignore);
    await expect(subscribing).rejects.toThrow(ConfigError);
    await expect(subscribing).rejects.toThrow(/"transport.servers"/u);
  });
});
