// Connections: makes ioredis clients that do nothing by themselves: none connects again, waits, or repeats a command.

import { Redis, type RedisOptions } from "ioredis";
import type { RedisSettings } from "./options.ts";

/** Another server than the configured one, of the same cluster. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

const KEEP_ALIVE_MS = 30_000;

export type MakeRedis = (endpoint: Endpoint | null) => Redis;

/** Makes clients that are not connected yet. Each is for one connection. */
export function connections(settings: RedisSettings): MakeRedis {
  const { client, url, connection, commandTimeoutMs } = settings;
  const { sentinels }: RedisOptions = client?.options ?? connection;
  // They are asked one after the other, and each connection begins with the first: the last one and the master have their turn in
  // time, too.
  const tryMs = Math.ceil(commandTimeoutMs / ((sentinels?.length ?? 0) + 1));
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    // Whether it serves is found with the first command.
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: () => null,
    reconnectOnError: null,
    connectTimeout: tryMs,
    // Who only listens learns from this that a connection is gone of which nobody told.
    keepAlive: KEEP_ALIVE_MS,
    sentinelCommandTimeout: tryMs,
    // Links count the time themselves: a command that ioredis gave up would still be under way.
    commandTimeout: undefined,
    // The option of that name is how keys begin.
    keyPrefix: "",
    monitor: false,
    readOnly: false,
    connectionName: "holdfast",
    // Answers have the form that the scripts gave them.
    replyMapping: "legacy",
    stringNumbers: false,
  } as const satisfies RedisOptions;
  return (endpoint) => {
    const redis =
      client === null
        ? new Redis(endpoint === null ? url : at(url, endpoint), { ...connection, ...options })
        : (client.duplicate({ ...options, ...endpoint }) as Redis);
    // Without a listener an error ends the process. What failed learns of it by its own promise.
    redis.on("error", () => {
      // ioredis hears the first error of a socket alone, and Node may tell of two: of the server's certificate and of the
      // alert that crossed its refusal. There is no socket before the first try.
      const stream = redis.stream as Redis["stream"] | undefined;
      if (stream?.listenerCount("error") === 0) stream.on("error", () => undefined);
    });
    return redis;
  };
}

/**
 * Connects, or gives up in time: ioredis itself waits for as long as a Sentinel that took the connection says nothing.
 *
 * @throws {Error} there is no connection
 */
export async function connectWithin(redis: Redis, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("Redis did not answer in time")), timeoutMs);
  });
  try {
    await Promise.race([redis.connect(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same URL with another place in it: ioredis lets a URL win over its options. */
function at(url: string, { host, port }: Endpoint): string {
  const moved = new URL(url);
  moved.hostname = host.includes(":") ? `[${host}]` : host;
  moved.port = String(port);
  return moved.href;
}
