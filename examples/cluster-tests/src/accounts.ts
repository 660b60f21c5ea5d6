import { activity, defineWorkflow, type WorkflowImplementation } from "@holdfast/core";
import { postgresTx } from "@holdfast/storage-postgres";
import * as z from "zod";

/** A transfer asked for something that accounts do not do. */
export class TransferError extends Error {
  override readonly name = "TransferError";
}

/** One transfer: the account's state and the row of the transfer in one transaction, with the journal's entry. */
export const Transfer = defineWorkflow({
  name: "Transfer",
  input: z.object({
    id: z.string(),
    account: z.string(),
    recipient: z.string(),
    amount: z.int(),
    /** Fails after everything was written. */
    fails: z.boolean().default(false),
  }),
  output: z.object({ transfers: z.int(), total: z.int() }),
  key: ({ id }) => id,
  hashKey: false,
  errors: [TransferError],
});

export const transfer: WorkflowImplementation = Transfer.implement({
  activities: {
    transfer: activity(async (ctx, account: string, recipient: string, amount: number, fails: boolean) => {
      const tx = postgresTx(ctx);
      const { rows } = await tx.query<{ transfers: number; total: number }>(
        `insert into suite.accounts (id, transfers, total) values ($1, 1, $2)
         on conflict (id) do update set transfers = suite.accounts.transfers + 1, total = suite.accounts.total + $2
         returning transfers, total`,
        [account, amount],
      );
      await tx.query("insert into suite.transfers (id, recipient, amount) values ($1, $2, $3)", [
        account,
        recipient,
        amount,
      ]);
      if (fails) throw new TransferError(`the transfer to ${recipient} was refused`);
      return rows[0] ?? { transfers: 0, total: 0 };
    }),
  },
  execute: (ctx, { account, recipient, amount, fails }) =>
    ctx.activities.transfer(account, recipient, amount, fails),
});
