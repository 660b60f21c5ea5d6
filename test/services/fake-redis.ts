// Fake Redis: servers that take connections, for what a client does before it has one.

import { createServer, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** Says nothing, ever. Resolves to its port; ends with the test. */
export function silentServer(): Promise<number> {
  return listen(() => undefined);
}

/** A server that answers every command with an empty list. */
export function fakeRedis(): Promise<number> {
  return listen((socket) => answerEach(socket, () => "*0\r\n"));
}

/** A Sentinel that knows where the master is, and of no other Sentinel. */
export function fakeSentinel(masterPort: number): Promise<number> {
  const address = `*2\r\n${text("127.0.0.1")}${text(String(masterPort))}`;
  return listen((socket) =>
    answerEach(socket, (command) => (command.includes("get-master-addr-by-name") ? address : "*0\r\n")),
  );
}

function text(value: string): string {
  return `$${value.length}\r\n${value}\r\n`;
}

function answerEach(socket: Socket, answer: (command: string) => string): void {
  socket.on("data", (data) => {
    for (const command of data.toString().split(/(?=\*\d+\r\n\$)/u)) socket.write(answer(command));
  });
}

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
