import type { Model, Operation } from "./linearizability.ts";

/** What a register is asked. */
export type RegisterInput = { readonly kind: "write"; readonly value: number } | { readonly kind: "read" };

/** What a read gave, null where nothing was written yet; of a write, null. */
export type RegisterOutput = number | null;

/** One operation on a register, as a client saw it. */
export type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

/** One number that is written and read: a Model for `checkLinearizable`. */
export const registerModel: Model<number | null, RegisterInput, RegisterOutput> = {
  initial: null,
  apply: (state, input) =>
    input.kind === "read" ? { state, output: state } : { state: input.value, output: null },
};
