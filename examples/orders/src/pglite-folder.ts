import { createHash } from "node:crypto";
import { mkdir, realpath, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import type { Database } from "./database.ts";

export interface OpenFolder {
  readonly instance: PGlite;
  readonly database: Database;
  readonly close: () => Promise<void>;
}

/**
 * Opens PGlite in a folder. What it committed is there again after a crash of the process.
 *
 * @throws {Error} another process has the folder open: PGlite serves one
 */
export async function openFolder(
  folder: string,
  { fresh }: { readonly fresh: boolean },
): Promise<OpenFolder> {
  await mkdir(folder, { recursive: true });
  const guard = await guardFolder(folder);
  if (fresh) await rm(folder, { recursive: true, force: true });
  const instance = await PGlite.create({ dataDir: folder, relaxedDurability: false });
  return {
    instance,
    database: { query: (text, params = []) => instance.query(text, [...params]) },
    async close() {
      await instance.close();
      guard.close();
    },
  };
}

/** Listens at a name made of the folder's: it is taken exactly as long as this process lives, however it ends. */
async function guardFolder(folder: string): Promise<Server> {
  const name = `holdfast-orders-${createHash("sha256")
    .update(await realpath(folder))
    .digest("hex")
    .slice(0, 16)}`;
  const path = pathOf(name);
  // Only a socket in the file system outlives its process.
  if (path.startsWith(tmpdir()) && !(await answers(path))) await rm(path, { force: true });
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = `Another process has ${folder} open. End it, or name another folder in ORDERS_DATA.`;
      reject(error.code === "EADDRINUSE" ? new Error(taken) : error);
    });
    server.listen(path, resolve);
  });
  return server.unref();
}

function pathOf(name: string): string {
  if (process.platform === "win32") return `\\\\.\\pipe\\${name}`;
  // Linux has names for sockets that are in no file system.
  return process.platform === "linux" ? `\0${name}` : join(tmpdir(), `${name}.sock`);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
