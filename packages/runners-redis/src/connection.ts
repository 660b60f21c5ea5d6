// Connection: one client of ioredis, made as the options say or as the user's own client is made.
//
//   N1  A command is carried out once or not at all, and nothing is sent again on the next connection. What is worth another
//       try, RedisSession tries. The one queue there is, is in a Cluster: a command may wait until the connection to its node
//       is made. What leaves it after its call was given up comes late, which is harmless: see C4 in scripts.ts.
//   N2  A server that does not answer a command in time has its connection cut, so that the next one is another.
//   N3  It reconnects for ever, in less than a second, and not at the same moment as others.
//   N4  A second error of the socket to a single server does not end the process. ioredis hears the first alone, and Node may
//       tell of two: of the server's certificate and of the alert that crossed its refusal. The sockets to the nodes of a
//       Cluster and to Sentinels are out of reach here, and so is what ioredis hushes up after `disconnect()`.

import type { Random } from "@holdfast/core/adapter";
import { Cluster, Redis, type ClusterOptions, type RedisOptions } from "ioredis";
import type { RedisSettings } from "./options.ts";

const KEEP_ALIVE_MS = 30_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** As much of the two clients of ioredis as is used. */
export interface Connection {
  readonly status: string;
  connect(): Promise<void>;
  disconnect(): void;
  eval(script: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  on(event: "ready" | "close", listener: () => void): unknown;
  on(event: "error" | "node error", listener: (error: Error) => void): unknown;
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
}

/** What holds of each connection to one server. */
type NodeOptions = NonNullable<ClusterOptions["redisOptions"]> & { readonly replyMapping: "legacy" };

/** How a master is found. */
type SentinelOptions = Pick<
  RedisOptions,
  | "sentinels"
  | "name"
  | "sentinelUsername"
  | "sentinelPassword"
  | "enableTLSForSentinelMode"
  | "sentinelTLS"
  | "connectTimeout"
  | "sentinelCommandTimeout"
  | "sentinelRetryStrategy"
>;

/** A new connection, not connected yet. Whoever calls listens for its errors before it connects. */
export function newConnection(settings: RedisSettings, tryMs: number, random: Random): Connection {
  const client = newClient(settings, tryMs, random);
  if (client.isCluster) return client;
  const redis = client as Redis;
  redis.on("error", () => {
    // There is none before the first try, and the last one stays where Sentinels know of no other.
    const stream = redis.stream as Redis["stream"] | undefined;
    if (stream?.listenerCount("error") === 0) stream.on("error", () => undefined);
  });
  return client;
}

function newClient(settings: RedisSettings, tryMs: number, random: Random): Redis | Cluster {
  const { client, hosts, isCluster } = settings;
  const node = nodeOptions(tryMs);
  const single = { ...node, enableOfflineQueue: false, readOnly: false, retryStrategy: pauses(random) };
  const clustered = {
    lazyConnect: true,
    enableOfflineQueue: false,
    scaleReads: "master" as const,
    keyPrefix: "",
    clusterRetryStrategy: pauses(random),
    clusterNodeRetryStrategy: null,
    // It would send again what may have been carried out.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    maxRedirections: 3,
    slotsRefreshTimeout: tryMs,
    redisOptions: node,
  } satisfies ClusterOptions;
  if (client !== null) {
    if (!client.isCluster) {
      const { sentinels }: RedisOptions = client.options;
      return client.duplicate({
        ...single,
        ...searchOptions(settings, sentinels ?? [], tryMs, random),
      }) as Redis;
    }
    // ioredis 5 puts these in the place of the client's own, which have its password and its TLS.
    const { redisOptions }: ClusterOptions = client.options;
    return client.duplicate([], {
      ...clustered,
      redisOptions: { ...redisOptions, ...node },
    }) as Cluster;
  }
  if (isCluster) {
    return new Cluster([...hosts], {
      ...clustered,
      redisOptions: { ...node, ...credentials(settings) },
      // A certificate is for a name, which is gone once it was looked up.
      ...(settings.tls === null ? {} : { dnsLookup: (address, found) => found(null, address) }),
    });
  }
  // What a single server needs is of no use to Sentinels, and the other way round.
  const place: Pick<RedisOptions, "host" | "port" | keyof SentinelOptions> =
    settings.sentinel === null ? { ...hosts[0] } : sentinelOptions(settings, tryMs, random);
  return new Redis({ ...single, ...credentials(settings), ...place, db: settings.database });
}

function nodeOptions(tryMs: number): NodeOptions {
  return {
    lazyConnect: true,
    connectTimeout: tryMs,
    socketTimeout: tryMs,
    // Who only listens learns from this that a connection is gone of which nobody told.
    keepAlive: KEEP_ALIVE_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // A client of the user's may have other ideas.
    commandTimeout: undefined,
    monitor: false,
    keyPrefix: "",
    stringNumbers: false,
    replyMapping: "legacy",
    enableReadyCheck: true,
    enableAutoPipelining: false,
    // It was the master once: whoever is it now is found by connecting anew.
    reconnectOnError: ({ message }) => message.startsWith("READONLY"),
  };
}

function credentials({ auth, tls }: RedisSettings): Pick<RedisOptions, "username" | "password" | "tls"> {
  return {
    ...(auth === null ? {} : { password: auth.password }),
    ...(auth === null || auth.username === null ? {} : { username: auth.username }),
    ...(tls === null ? {} : { tls }),
  };
}

function sentinelOptions(settings: RedisSettings, tryMs: number, random: Random): SentinelOptions {
  const { hosts, sentinel, tls } = settings;
  if (sentinel === null) return {};
  return {
    sentinels: [...hosts],
    name: sentinel.name,
    ...(sentinel.username === null ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === null ? {} : { sentinelPassword: sentinel.password }),
    ...(tls === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    ...searchOptions(settings, hosts, tryMs, random),
  };
}

/**
 * How long each Sentinel is asked: for its part of a call, so that the last one and the master have their turn in it, too. ioredis
 * asks one after the other, and waits for ever for one that takes connections and says nothing.
 */
function searchOptions(
  { commandTimeoutMs }: RedisSettings,
  sentinels: readonly unknown[],
  tryMs: number,
  random: Random,
): SentinelOptions {
  const partMs = Math.min(tryMs, Math.ceil(commandTimeoutMs / (sentinels.length + 1)));
  return {
    connectTimeout: partMs,
    sentinelCommandTimeout: partMs,
    sentinelRetryStrategy: pauses(random),
  };
}

function pauses(random: Random): (tries: number) => number {
  return (tries) => {
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 10), LONGEST_PAUSE_MS);
    return Math.round(pauseMs * (0.5 + random.next() / 2));
  };
}
