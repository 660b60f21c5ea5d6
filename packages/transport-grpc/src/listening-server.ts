// ListeningServer: the port of a member, with the transport's own service, health and reflection on it.

import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { ConfigError } from "@holdfast/core/adapter";
import { protoPath as healthProto } from "grpc-health-check";
import { tokenGate } from "./gate.ts";
import { HealthService } from "./health.ts";
import { formatHostPort, type GrpcSettings, type TlsSettings } from "./options.ts";
import { definitions, SERVICE_NAME, service } from "./protocol.ts";

export type IncomingStream = ServerDuplexStream<Buffer, Buffer>;

export interface ServerListener {
  /** A peer opened a stream. */
  incoming(stream: IncomingStream): void;
  /** A call without the token was refused. */
  refused(): void;
}

/** A connection that carries no stream for this long is closed. */
const IDLE_CONNECTION_MS = 60_000;
/** Streams of one connection: one for messages, the others for health and reflection. */
const STREAMS_PER_CONNECTION = 16;
/** Room in a frame for what frames messages. */
const FRAME_SLACK_BYTES = 1_024;

/** What both ends of a connection set. */
export function channelOptions({
  keepAliveMs,
  maxMessageBytes,
}: GrpcSettings): Readonly<Record<string, number>> {
  const frameBytes = maxMessageBytes + FRAME_SLACK_BYTES;
  return {
    "grpc.keepalive_time_ms": keepAliveMs,
    "grpc.keepalive_timeout_ms": keepAliveMs,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_receive_message_length": frameBytes,
    "grpc.max_send_message_length": frameBytes,
  };
}

export class ListeningServer {
  readonly #settings: GrpcSettings;
  readonly #server: Server;
  readonly #health = new HealthService(SERVICE_NAME);

  constructor(settings: GrpcSettings, listener: ServerListener) {
    this.#settings = settings;
    this.#server = new Server({
      ...channelOptions(settings),
      "grpc.http2.min_time_between_pings_ms": Math.floor(settings.keepAliveMs / 2),
      "grpc.max_connection_idle_ms": IDLE_CONNECTION_MS,
      "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
      ...(settings.token === null
        ? {}
        : { interceptors: [tokenGate(settings.token, () => listener.refused())] }),
    });
    this.#server.addService(service, { Connect: (stream: IncomingStream) => listener.incoming(stream) });
    this.#health.addToServer(this.#server);
    new ReflectionService({ ...definitions, ...loadSync(healthProto) }).addToServer(this.#server);
  }

  /** Returns the port. @throws {ConfigError} it cannot listen there */
  listen(): Promise<number> {
    const { listen, tls } = this.#settings;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(formatHostPort(listen), serverCredentials(tls), (error, port) => {
        if (error === null) return resolve(port);
        reject(
          new ConfigError(
            {
              option: "transport.listen",
              got: formatHostPort(listen),
              takes: "an address of this machine and a port that is free",
              hint: error.message,
            },
            { cause: error },
          ),
        );
      });
    });
  }

  /** Tells load balancers to send nobody here any more. */
  stopServing(): void {
    this.#health.stopServing();
  }

  /** Takes nothing new. Resolves when what is open has ended. */
  finish(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()));
  }

  /** Ends everything now. */
  kill(): void {
    this.#server.forceShutdown();
  }
}

function serverCredentials(tls: TlsSettings | null): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    tls.ca,
    [{ cert_chain: tls.certificate, private_key: tls.key }],
    tls.clientAuth,
  );
}
