import type { Model, Operation } from "./linearizability.ts";

export type CounterInput = { readonly kind: "add"; readonly amount: number } | { readonly kind: "get" };

export type CounterOperation = Operation<CounterInput, number>;

/** A number from 0 on that is added to; both answer its value, an addition the one after it. A Model for `checkLinearizable`. */
export const counterModel: Model<number, CounterInput, number> = {
  initial: 0,
  apply(state, input) {
    const value = input.kind === "add" ? state + input.amount : state;
    return { state: value, output: value };
  },
};
