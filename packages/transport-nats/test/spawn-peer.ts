import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { NatsOptions } from "../src/index.ts";

/** Starts a member in a process of its own, which answers pings. It is killed when the test is over. */
export async function spawnPeer(
  options: NatsOptions,
): Promise<{ readonly address: string; readonly child: ChildProcess }> {
  const program = fileURLToPath(new URL("peer.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=@holdfast/source", program, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (data: Buffer) => {
      const found = /listening at (?<address>\S+)/u.exec(data.toString());
      if (found?.groups !== undefined) resolve(found.groups["address"] ?? "");
    });
    child.once("exit", (code) => reject(new Error(`The peer ended with ${code}`)));
  });
  return { address, child };
}
