// Planted bugs of what is due at a time, and of what runs once in the cluster.

import type { PlantedBug } from "../planted-bug.ts";

export const TIMERS: readonly PlantedBug[] = [
  {
    name: "scheduled requests are due a second early",
    breaks: "INV-7",
    file: "entity/inbox.ts",
    find: "        now: clock.now(),\n",
    replace: "        now: clock.now() + 1_000,\n",
    scenarios: ["timers", "failover"],
  },
  {
    name: "a sleep ends early where the wall clock is set back",
    breaks: "INV-7",
    file: "workflow/waits.ts",
    find: "if (this.#clock.now() < dueAt) {",
    replace: "if (this.#clock.now() < 0) {",
    scenarios: ["set clocks"],
  },
  {
    name: "a sleep ends when half of it is over",
    breaks: "INV-7",
    file: "define/workflow-context.ts",
    find: 'return timer("sleep", () => services.clock.now() + delayMs);',
    replace: 'return timer("sleep", () => services.clock.now() + delayMs / 2);',
    scenarios: ["timers"],
  },
  {
    name: "a sleep begins anew in each replay",
    breaks: "INV-7",
    file: "workflow/timer-step.ts",
    find: "  if (recorded !== null) return recorded;\n",
    replace: "",
    scenarios: ["transfers"],
  },
  {
    name: "a timer is dropped at hand-over",
    breaks: "INV-7",
    file: "workflow/departure.ts",
    find: "return leave(0);",
    replace: "return leave(null);",
    scenarios: ["timers", "transfers"],
  },
  {
    name: "a cron's ticks have no key",
    breaks: "a cron runs once for each instant",
    file: "cluster/cron-host.ts",
    find: "          idempotencyKey: tick.scheduledTime,\n",
    replace: "          idempotencyKey: `${tick.scheduledTime} ${clock.now()}`,\n",
    scenarios: ["failover"],
  },
  {
    name: "a cron's next tick is counted from the clock alone",
    breaks: "INV-7",
    file: "singleton/cron-runner.ts",
    find: "return schedule.next(Math.max(now, instant));",
    replace: "return schedule.next(now);",
    scenarios: ["set clocks"],
  },
  {
    name: "a cron's tick is answered although the next one was not saved",
    breaks: "INV-7",
    file: "singleton/cron-runner.ts",
    find: "const saved = await this.#saveTick(this.#successorOf(instant, now), call.signal);",
    replace:
      "const saved = await this.#options.scheduleTick(this.#successorOf(instant, now)).then(\n" +
      "      () => true,\n" +
      "      () => true,\n" +
      "    );",
    scenarios: ["failing crons"],
  },
  {
    name: "a singleton goes on after its shard was lost",
    breaks: "a singleton runs once at a time",
    file: "cluster/registry.ts",
    find: "      void this.#singletons.drain(shardId);\n",
    replace: "",
    scenarios: ["failover"],
  },
  {
    name: "a shard leaves before its singletons have ended",
    breaks: "a singleton runs once at a time",
    file: "cluster/registry.ts",
    find: "    await this.#singletons.drain(shardId);\n",
    replace: "    void this.#singletons.drain(shardId);\n",
    scenarios: ["deploys"],
  },
  {
    name: "a singleton's successor on one runner does not wait for it",
    breaks: "a singleton runs once at a time",
    file: "singleton/singleton-host.ts",
    find: "this.#ended = this.#ended.then(() => this.#runRepeatedly({ signal: tenure.signal, fence }));",
    replace: "this.#ended = this.#runRepeatedly({ signal: tenure.signal, fence });",
    scenarios: ["stubborn singleton"],
  },
];
