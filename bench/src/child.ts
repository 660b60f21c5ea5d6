// The process of one contestant: opens the module that it is given, and does what contestant-process.ts asks, one thing at
// a time. It ends with its parent.

import type { Contestant, OpenContestant } from "./contestant.ts";
import type { Answer, Figures, Question } from "./contestant-process.ts";
import { startProfile } from "./profile.ts";
import { roundOf } from "./workload-round.ts";

const [module = ""] = process.argv.slice(2);
let contestant: Contestant | null = null;
let stopProfile: (() => Promise<void>) | null = null;

process.on("disconnect", () => process.exit());
process.on("message", (message) => {
  const { id, question } = message as { id: number; question: Question };
  void answer(question).then(
    (value) => send({ id, value }),
    (error: unknown) =>
      send({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});

async function answer(question: Question): Promise<unknown> {
  switch (question.ask) {
    case "open": {
      const { open } = (await import(module)) as { readonly open: OpenContestant };
      contestant = await open(question.services);
      return Object.keys(contestant.workloads);
    }
    case "round": {
      const workload = contestant?.workloads[question.workload];
      if (workload === undefined) throw new Error(`it has no workload "${question.workload}"`);
      return roundOf(workload, question.inFlight, question.ms);
    }
    case "profile":
      stopProfile = await startProfile(question.file);
      return null;
    case "figures":
      return figures();
    case "close":
      await stopProfile?.();
      await contestant?.close();
      return null;
  }
}

function figures(): Figures {
  const { user, system } = process.cpuUsage();
  return {
    processorMs: (user + system) / 1_000,
    resident: process.memoryUsage.rss(),
    own: contestant?.figures?.() ?? {},
  };
}

function send(reply: Answer): void {
  process.send?.(reply);
}
