// Free ports: for programs that take no port 0, or that are started again at the port that they had.
//
//   P1  They lie below those that systems give to connections that go out, unless told otherwise (Linux: from 32768, others:
//       from 49152). A port from there may be taken at any time by somebody's connection, while its program is down or not
//       yet up.
//   P2  None is given twice. Where it begins is left to chance, as other test files look for ports at the same time.

import { createServer } from "node:net";

const FIRST = 12_000;
const END = 32_768;

let next = FIRST + Math.floor(Math.random() * (END - FIRST));

/** A port of 127.0.0.1 at which nobody listens. @throws {Error} there is none */
export async function freePort(): Promise<number> {
  for (let tries = FIRST; tries < END; tries++) {
    const port = next;
    next = port + 1 < END ? port + 1 : FIRST;
    if (await isFree(port)) return port;
  }
  throw new Error(`Each port from ${FIRST} to ${END - 1} is taken`);
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(false);
    else reject(error);
  });
  server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  return promise;
}
