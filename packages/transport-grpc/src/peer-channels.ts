// PeerChannels: the connections that this member opens, one for each address, with the client library's own backoff and
// jitter: while it waits to connect again, streams fail at once.

import { Client, credentials, type ChannelCredentials, type ClientDuplexStream } from "@grpc/grpc-js";
import { withAnswerTimeout } from "./answer-timeout.ts";
import { credentialsOf } from "./gate.ts";
import { channelOptions } from "./listening-server.ts";
import type { GrpcSettings, TlsSettings } from "./options.ts";
import { service } from "./protocol.ts";

export type OutgoingStream = ClientDuplexStream<Buffer, Buffer>;

const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 2_000;
/** A channel that nobody used for this long is closed: its peer is gone for good. */
const UNUSED_MS = 60_000;

export class PeerChannels {
  readonly #settings: GrpcSettings;
  readonly #credentials: ChannelCredentials;
  readonly #channels = new Map<string, { readonly client: Client; usedAt: number; streams: number }>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(settings: GrpcSettings) {
    this.#settings = settings;
    this.#credentials = withAnswerTimeout(clientCredentials(settings.tls), settings.connectTimeoutMs);
    this.#sweeper = setInterval(() => this.#sweep(), UNUSED_MS);
    this.#sweeper.unref();
  }

  /** Opens a stream. It fails later if the peer cannot be reached. Call `released` once it is over. */
  open(address: string): { readonly stream: OutgoingStream; readonly released: () => void } {
    const channel = this.#channelTo(address);
    channel.streams += 1;
    const { path, requestSerialize, responseDeserialize } = service["Connect"] as NonNullable<
      (typeof service)[string]
    >;
    const stream = channel.client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      credentialsOf(this.#settings.token),
    ) as OutgoingStream;
    return {
      stream,
      released: () => {
        channel.streams -= 1;
        channel.usedAt = performance.now();
      },
    };
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const { client } of this.#channels.values()) client.close();
    this.#channels.clear();
  }

  #channelTo(address: string): { readonly client: Client; usedAt: number; streams: number } {
    const known = this.#channels.get(address);
    if (known !== undefined) return known;
    const { tls } = this.#settings;
    const client = new Client(address, this.#credentials, {
      ...channelOptions(this.#settings),
      "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
      "grpc.min_reconnect_backoff_ms": FIRST_RECONNECT_MS,
      "grpc.max_reconnect_backoff_ms": LONGEST_RECONNECT_MS,
      // A peer that comes back under its name may have another address, for which the library asks every 30 s only by itself.
      "grpc.dns_min_time_between_resolutions_ms": LONGEST_RECONNECT_MS,
      // Members are addressed one by one, and no proxy of the environment stands between them.
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      // Each member has connections of its own, also several in one process.
      "grpc.use_local_subchannel_pool": 1,
      ...(tls?.serverName == null ? {} : { "grpc.ssl_target_name_override": tls.serverName }),
    });
    const channel = { client, usedAt: performance.now(), streams: 0 };
    this.#channels.set(address, channel);
    return channel;
  }

  #sweep(): void {
    const now = performance.now();
    for (const [address, { client, usedAt, streams }] of this.#channels) {
      if (streams > 0 || now - usedAt < UNUSED_MS) continue;
      this.#channels.delete(address);
      client.close();
    }
  }
}

function clientCredentials(tls: TlsSettings | null): ChannelCredentials {
  return tls === null
    ? credentials.createInsecure()
    : credentials.createSsl(tls.ca, tls.key, tls.certificate);
}
