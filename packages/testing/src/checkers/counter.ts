import type { Model, Operation } from "./linearizability.ts";

/** What a counter is asked. */
export type CounterInput = { readonly kind: "add"; readonly amount: number } | { readonly kind: "get" };

/** One operation on a counter, as a client saw it. The output is the count after it. */
export type CounterOperation = Operation<CounterInput, number>;

/** A number from 0 on that is added to; both answer its value, an addition the one after it. A Model for `checkLinearizable`. */
export const counterModel: Model<number, CounterInput, number> = {
  initial: 0,
  apply(state, input) {
    const value = input.kind === "add" ? state + input.amount : state;
    return { state: value, output: value };
  },
};
