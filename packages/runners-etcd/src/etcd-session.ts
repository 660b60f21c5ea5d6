// EtcdSession: one client of etcd, with a deadline on every call and faults as PersistenceError.
//
//   S1  Every call ends within `timeoutMs`, its tries included, and nothing is tried after that.
//   S2  What is called may be tried again blindly: reads, grants and revokes of leases whose id is ours, and transactions
//       that find their own earlier success.
//
// The client's own fault handling is off: its circuit breaker keeps off a host for seconds after a short outage, which
// costs leases, and its retries know no deadline.

import { PersistenceError } from "@holdfast/core/adapter";
import { noop } from "cockatiel";
import { Etcd3, isRecoverableError, type IOptions } from "etcd3";
import type { EtcdSettings } from "./options.ts";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;
const SHORTEST_TRY_MS = 100;

/** What a call of the client takes: until when it may run, by the wall clock, as gRPC has it. */
export interface CallOptions {
  readonly deadline: number;
}

export class EtcdSession {
  readonly client: Etcd3;
  readonly prefix: string;
  /** How long a call may take. */
  readonly timeoutMs: number;
  /** How long one try may take, so that one dead host of several does not take the time of all. */
  readonly #tryMs: number;
  #isClosed = false;

  constructor(settings: EtcdSettings) {
    this.prefix = settings.prefix;
    this.timeoutMs = settings.timeoutMs;
    this.#tryMs = Math.max(SHORTEST_TRY_MS, settings.timeoutMs / settings.hosts.length);
    this.client = new Etcd3(clientOptions(settings, this.#tryMs));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Makes a call, and again while it fails for lack of a connection and there is time (S1).
   *
   * @param kind whether it may have taken effect if it failed
   * @param timeoutMs how long it may take, if that is not `timeoutMs` of the options
   * @throws {PersistenceError} etcd refused it, did not answer in time, or cannot be reached
   */
  async call<Result>(
    operation: string,
    kind: "read" | "write",
    attempt: (options: CallOptions) => Promise<Result>,
    timeoutMs: number = this.timeoutMs,
  ): Promise<Result> {
    const until = performance.now() + timeoutMs;
    const outcome = kind === "read" ? "not-written" : "unknown";
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      if (this.#isClosed) throw failure(operation, "not-written", "the connection to etcd is closed");
      const tryMs = Math.min(this.#tryMs, until - performance.now());
      try {
        return await bounded(attempt({ deadline: Date.now() + tryMs }), tryMs + SHORTEST_TRY_MS);
      } catch (error) {
        const isWorthIt = error instanceof LateError || isRecoverableError(asError(error));
        if (!isWorthIt || performance.now() + pauseMs >= until)
          throw failure(operation, outcome, asError(error).message, { cause: error });
      }
      await pause(pauseMs);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.client.close();
  }
}

class LateError extends Error {
  override readonly name = "LateError";
}

type Interceptor = NonNullable<NonNullable<Parameters<Etcd3["kv"]["range"]>[1]>["interceptors"]>[number];

/**
 * A token that is signed (JWT) is refused as soon as any user or role was changed, and the client gets a new one only where it
 * is told that the old one is none.
 */
export const renewingTokens: Interceptor = (options, nextCall) => {
  const call = nextCall(options);
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    const onReceiveStatus: NonNullable<typeof listener>["onReceiveStatus"] = (status) => {
      const isOutdated = status.details === "etcdserver: revision of auth store is old";
      listener?.onReceiveStatus?.(
        isOutdated ? { ...status, details: "etcdserver: invalid auth token" } : status,
      );
    };
    start(metadata, { ...listener, onReceiveStatus });
  };
  // Its type asks for the library's own class, which only wraps such a call.
  return call as ReturnType<Interceptor>;
};

/** The client bounds most calls by their deadline, but not the time until it has a token or a stream. */
async function bounded<Result>(work: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LateError(`no answer within ${Math.round(ms)} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function failure(
  operation: string,
  outcome: "not-written" | "unknown",
  detail: string,
  options?: ErrorOptions,
): PersistenceError {
  return new PersistenceError({ operation: `${operation} (etcd)`, outcome, detail }, options);
}

function clientOptions({ hosts, auth, tls }: EtcdSettings, tryMs: number): IOptions {
  return {
    hosts: [...hosts],
    // The client asks one host after the other for a token, the first one first.
    ...(auth === null ? {} : { auth: { ...auth, callOptions: () => ({ deadline: Date.now() + tryMs }) } }),
    ...(tls === null ? {} : { credentials: credentialsOf(tls) }),
    grpcOptions: {
      interceptors: [renewingTokens],
      "grpc.keepalive_time_ms": 5_000,
      "grpc.keepalive_timeout_ms": 2_000,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1_000,
    },
    faultHandling: { host: () => noop, global: noop },
  };
}

function credentialsOf(tls: NonNullable<EtcdSettings["tls"]>): NonNullable<IOptions["credentials"]> {
  return {
    ...(tls.ca === null ? {} : { rootCertificate: tls.ca }),
    ...(tls.key === null ? {} : { privateKey: tls.key }),
    ...(tls.certificate === null ? {} : { certChain: tls.certificate }),
    // Without an authority of its own the client takes the system's, which its types do not know.
  } as NonNullable<IOptions["credentials"]>;
}
