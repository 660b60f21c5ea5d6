// Gate: lets in who brings the cluster's secret, before a frame of theirs is read.

import { createHash, timingSafeEqual } from "node:crypto";
import {
  Metadata,
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type ServerInterceptor,
} from "@grpc/grpc-js";

const HEADER = "authorization";
const SCHEME = "Bearer ";
/** Load balancers ask for health, and have no secret. */
const OPEN_TO_ALL = "/grpc.health.v1.Health/";

/** What a call brings along. */
export function credentialsOf(token: string | null): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set(HEADER, SCHEME + token);
  return metadata;
}

/** Refuses calls without the token with UNAUTHENTICATED. `refused` hears of each. */
export function tokenGate(token: string, refused: () => void): ServerInterceptor {
  const wanted = digest(SCHEME + token);
  return (method, call) => {
    if (method.path.startsWith(OPEN_TO_ALL)) return new ServerInterceptingCall(call);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const [given = ""] = metadata.get(HEADER);
        // Digests are of one length, so that the time that comparing takes tells nothing.
        if (timingSafeEqual(digest(String(given)), wanted)) return next(metadata);
        refused();
        call.sendStatus({
          code: status.UNAUTHENTICATED,
          details: "This member takes calls with the cluster's token only.",
        });
      })
      .build();
    return new ServerInterceptingCall(
      call,
      new ResponderBuilder().withStart((next) => next(listener)).build(),
    );
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
