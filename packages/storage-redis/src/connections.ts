// Connections: makes ioredis clients that do nothing by themselves: none connects again, waits, or repeats a command.

import { Redis, type RedisOptions } from "ioredis";
import type { RedisSettings } from "./options.ts";

/** Another server than the configured one, of the same cluster. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type MakeRedis = (endpoint: Endpoint | null) => Redis;

/** Makes clients that are not connected yet. Each is for one connection. */
export function connections(settings: RedisSettings): MakeRedis {
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
    connectTimeout: settings.commandTimeoutMs,
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
  const { client, url, connection } = settings;
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

/** The same URL with another place in it: ioredis lets a URL win over its options. */
function at(url: string, { host, port }: Endpoint): string {
  const moved = new URL(url);
  moved.hostname = host.includes(":") ? `[${host}]` : host;
  moved.port = String(port);
  return moved.href;
}
