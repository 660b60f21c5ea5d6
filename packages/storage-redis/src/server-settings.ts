// ServerSettings: what the server's own settings say of how safe data are in it.

import type { Redis } from "ioredis";
import { infoField } from "./info-field.ts";

/** What is dangerous about a server, as sentences; empty where nothing is, or where it does not say in time. */
export async function dangersOf(redis: Redis, timeoutMs: number): Promise<readonly string[]> {
  let late: NodeJS.Timeout | undefined;
  const silence = new Promise<readonly (string | null)[]>((resolve) => {
    late = setTimeout(resolve, timeoutMs, []);
  });
  const [appendOnly, save, maxMemory, policy = null] = await Promise.race([settings(redis), silence]);
  clearTimeout(late);
  const dangers: string[] = [];
  if (appendOnly === "no") {
    const loss =
      save === ""
        ? "everything that is stored"
        : "everything that was stored since its last snapshot, if any";
    dangers.push(
      `Redis keeps no append-only file: a restart loses ${loss}. Set "appendonly yes", or take Redis for volatile.`,
    );
  }
  if (typeof maxMemory === "string" && maxMemory !== "0" && policy !== null && policy !== "noeviction") {
    dangers.push(
      `Redis may drop stored requests and journals when its memory is full: maxmemory-policy is ${policy}. ` +
        `Set it to noeviction.`,
    );
  }
  return dangers;
}

/** `appendonly`, `save`, `maxmemory` and `maxmemory-policy`. Null where the server does not tell. */
async function settings(redis: Redis): Promise<readonly (string | null)[]> {
  const names = ["appendonly", "save", "maxmemory", "maxmemory-policy"];
  const told = await Promise.all(names.map((name) => setting(redis, name)));
  if (!told.includes(null)) return told;
  // Managed servers often refuse CONFIG. INFO says the same, but for snapshots.
  const info = await redis.info().catch(() => "");
  const appendOnly = infoField(info, "aof_enabled");
  const said = [
    appendOnly === null ? null : appendOnly === "1" ? "yes" : "no",
    null,
    infoField(info, "maxmemory"),
    infoField(info, "maxmemory_policy", String.raw`[\w-]+`),
  ];
  return told.map((value, index) => value ?? said[index] ?? null);
}

async function setting(redis: Redis, name: string): Promise<string | null> {
  try {
    const answer = await redis.config("GET", name);
    return answer[1] ?? null;
  } catch {
    return null;
  }
}
