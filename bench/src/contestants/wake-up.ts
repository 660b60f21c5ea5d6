// Wake-up: from the send in another process to the start of the handler in this one.

import type { EntityImplementation } from "@holdfast/core";
import type { Workload } from "../contestant.ts";
import { startOther, type OtherProcess } from "./other-process.ts";
import { Wakened } from "./wakened.ts";

export interface WakeUp {
  /** For the runner of this process. */
  readonly implementation: EntityImplementation;
  readonly workload: Workload;
  close(): void;
}

/** @param url of the storage that both processes share */
export function wakeUp(url: string): WakeUp {
  const started = new Map<number, (at: bigint) => void>();
  let count = 0;
  let waker: Promise<OtherProcess> | undefined;
  return {
    implementation: Wakened.implement({ wake: (number) => started.get(number)?.(process.hrtime.bigint()) }),
    workload: {
      kind: "alone",
      async call() {
        const { child } = await (waker ??= startOther("waker.ts", url));
        count += 1;
        const number = count;
        const handled = new Promise<bigint>((resolve) => started.set(number, resolve));
        const sent = new Promise<bigint>((resolve) =>
          child.once("message", ({ at }: { at: string }) => resolve(BigInt(at))),
        );
        child.send(number);
        const ms = Number((await handled) - (await sent)) / 1e6;
        started.delete(number);
        return ms;
      },
    },
    close: () => void waker?.then((other) => other.stop()),
  };
}
