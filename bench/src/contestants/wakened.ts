import { defineEntity, rpc } from "@holdfast/core";

/** What another process wakes up. The input says which time it is. */
export const Wakened = defineEntity({
  name: "Wakened",
  rpcs: { wake: rpc<number, void>({ persisted: true }) },
});
