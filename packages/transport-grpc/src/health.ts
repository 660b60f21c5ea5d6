// Health: grpc.health.v1.Health, for load balancers, which have no secret: whoever reaches the port may ask.
//
// Keeps nothing of what it was asked once a call is over. The implementation that comes with the protocol's file keeps the
// name of each service that anybody ever watched, up to 4 MiB each.

import {
  status,
  type sendUnaryData,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { service } from "grpc-health-check";

interface Asked {
  readonly service: string;
}

interface Health {
  readonly status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}

type WatchCall = ServerWritableStream<Asked, Health>;

export class HealthService {
  /** The names under which it is asked for: the member as a whole, and what it serves. */
  readonly #names: readonly string[];
  readonly #watching = new Set<WatchCall>();
  #health: Health = { status: "SERVING" };

  constructor(serviceName: string) {
    this.#names = ["", serviceName];
  }

  addToServer(server: Server): void {
    server.addService(service, {
      check: ({ request }: ServerUnaryCall<Asked, Health>, answer: sendUnaryData<Health>) => {
        if (this.#names.includes(request.service)) return answer(null, this.#health);
        answer({ code: status.NOT_FOUND, details: "This member has no service of that name." });
      },
      watch: (call: WatchCall) => this.#watch(call),
      list: (_call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) =>
        answer(null, { statuses: Object.fromEntries(this.#names.map((name) => [name, this.#health])) }),
    });
  }

  /** Tells load balancers to send nobody here any more. */
  stopServing(): void {
    this.#health = { status: "NOT_SERVING" };
    for (const call of this.#watching) call.write(this.#health);
  }

  #watch(call: WatchCall): void {
    // As the protocol has it, the call goes on: but there will be none of that name.
    if (!this.#names.includes(call.request.service)) return void call.write({ status: "SERVICE_UNKNOWN" });
    const told = this.#health;
    // One that was over before it came here never says that it is: nothing is written to it, and it is not kept.
    call.write(told, () => {
      if (call.destroyed) return;
      this.#watching.add(call);
      call.on("cancelled", () => this.#watching.delete(call));
      if (this.#health !== told) call.write(this.#health);
    });
  }
}
