// Workflows whose way depends on which of several activities ends first, and which leave memory after each race; and an
// activity that always fails. The winners are the same in every replay, and attempts are counted across crashes.

import { defineWorkflow } from "@holdfast/core";
import { Violation, type Scenario, type SimulatedProcess } from "@holdfast/testing";

interface Course {
  readonly id: string;
  readonly rounds: number;
}

const Race = defineWorkflow<Course, readonly number[]>({ name: "Race", key: ({ id }) => id, hashKey: false });
const RACES = 6;
const ROUNDS = 3;
const RUNNERS_UP = [0, 1, 2];
const PAUSE_MS = 1_200;

export const races: Scenario = {
  name: "races",
  duration: "15s",
  start(sim) {
    /** By execution and round, the winners so far as an activity was told them. */
    const noted = new Map<string, string>();
    const attempts = new Map<string, { readonly token: number; readonly attempt: number }>();
    let violation: Violation | null = null;
    const note = (where: string, winners: readonly number[]): void => {
      const before = noted.get(where);
      noted.set(where, winners.join());
      if (before !== undefined && before !== winners.join())
        violation ??= new Violation("replay", `${where} was won by ${before}, and then by ${winners.join()}`);
    };
    /** One that began says that the failures before it are recorded. What runs under an epoch that is over does not count. */
    const begin = (id: string, token: number, attempt: number): void => {
      const last = attempts.get(id);
      if (last !== undefined && token < last.token) return;
      if (last !== undefined && attempt < last.attempt)
        violation ??= new Violation(
          "attempts",
          `${id} began attempt ${attempt} after attempt ${last.attempt}`,
        );
      attempts.set(id, { token, attempt });
    };
    return {
      register: (process: SimulatedProcess) => [
        Race.implement({
          async execute(ctx, { id, rounds }) {
            const winners: number[] = [];
            for (let round = 0; round < rounds; round += 1) {
              const winner = await Promise.race(
                RUNNERS_UP.map((number) =>
                  ctx.run(`run ${number}`, async () => {
                    await process.sleep(sim.integer(1, 60));
                    return number;
                  }),
                ),
              );
              winners.push(winner);
              const told = [...winners];
              await ctx.run("note", () => note(`${id}, round ${round}`, told));
              await ctx.sleep(PAUSE_MS);
            }
            const flaky = { retries: 4, backoff: "constant", initialInterval: "300ms" } as const;
            await ctx
              .run("fails", flaky, async ({ fencingToken, attempt }) => {
                begin(id, fencingToken, attempt);
                await process.sleep(20);
                throw new Error("It always does");
              })
              .catch(() => undefined);
            return winners;
          },
        }),
      ],
      run: () =>
        sim.operations(RACES, async (index) => {
          const id = `race-${index}`;
          const winners = await sim.cluster.workflow(Race).execute({ id, rounds: ROUNDS });
          note(`${id}, round ${ROUNDS - 1}`, winners);
        }),
      check() {
        if (violation !== null) throw violation;
      },
    };
  },
};
