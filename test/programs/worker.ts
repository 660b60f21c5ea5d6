// A worker of `npm run programs`: checks the programs of one task after the other.

import { checkPrograms, type ProgramsChecked } from "../../packages/core/test/check-programs.ts";

export type Task = Parameters<typeof checkPrograms>[0];

export type Answer =
  | ({ readonly type: "checked" } & ProgramsChecked)
  | { readonly type: "failed"; readonly text: string };

process.on("message", (task: Task) => {
  void check(task).then((answer) => process.send?.(answer));
});

async function check(task: Task): Promise<Answer> {
  try {
    return {
      type: "checked",
      ...(await checkPrograms(task)),
    };
  } catch (error) {
    // What fast-check says has the shrunk program, its cause how it differs.
    const { message, cause } = error as Error;
    return { type: "failed", text: cause instanceof Error ? `${message}\n${cause.message}` : message };
  }
}
