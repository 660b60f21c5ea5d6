// Program code: a random program as the code of a workflow, and what an observer of the code sees of it.

import { CANCEL, SIGNAL, WATCH } from "../src/contract/workflow-contract.ts";
import { WorkflowCancelledError } from "../src/errors/workflow.ts";
import type { DurableRun } from "./durable-run.ts";
import type { ExecutionStage, Program, StageContext } from "./execution-stage.ts";
import type { Plan, RandomProgram } from "./random-program.ts";
import { Echo, NamedChild, PlacedChild, REFUSED, type ChildInput } from "./stage-definitions.ts";

/** A step as the code saw it at first, before any replay: the numbers count what the code asked for and was given. */
export interface SeenStep {
  readonly label: string;
  readonly asked: number;
  readonly askedAt: number;
  given: { readonly order: number; readonly at: number; readonly isCutShort: boolean } | null;
  /** Whether nothing of the code was beside it. */
  readonly isAlone: boolean;
}

/** What an observer of all copies of the code sees. */
export class Observer {
  /** By the number of the run of the code: what its last copy saw, in order. */
  readonly traces: Map<number, string[]> = new Map<number, string[]>();
  /** By the number of the run of the code: when it first ended. */
  readonly ends: Map<number, number> = new Map<number, number>();
  #count = 0;
  readonly #steps = new Map<string, SeenStep>();

  get steps(): Iterable<SeenStep> {
    return this.#steps.values();
  }

  begin(run: number): string[] {
    const trace: string[] = [];
    this.traces.set(run, trace);
    return trace;
  }

  ended(run: number, at: number): void {
    if (!this.ends.has(run)) this.ends.set(run, at);
  }

  asked(label: string, askedAt: number, isAlone: boolean): SeenStep {
    this.#count += 1;
    const known = this.#steps.get(label);
    if (known !== undefined) return known;
    const step = { label, asked: this.#count, askedAt, given: null, isAlone };
    this.#steps.set(label, step);
    return step;
  }

  /** @param isCutShort whether a cancellation ended it at once: such steps end in the order in which they were asked for */
  given(step: SeenStep, at: number, isCutShort: boolean): void {
    this.#count += 1;
    step.given ??= { order: this.#count, at, isCutShort };
  }
}

/** Some milliseconds for thing number `count`, so that no two things happen at one moment. Another `salt` gives others. */
function ownMs(count: number, salt: number): number {
  return ((count * 7_919 + salt * 104_729) % 89) + 1;
}

/** Has happen from outside what the program says. */
export function surround(run: DurableRun, program: RandomProgram, salt: number): void {
  const at = (ms: number, count: number): number => ms + ownMs(100 + count, salt);
  for (const [index, { name, atMs, isRefused }] of program.signals.entries()) {
    const payload = `${isRefused ? REFUSED : "signal"} ${index}`;
    run.post(at(atMs, index), SIGNAL, { name, payload });
  }
  if (program.cancelAtMs !== null) run.post(at(program.cancelAtMs, 50) + 61 * salt, CANCEL, "from outside");
  const watcher = { entityType: "workflow:Parent", executionId: "parent", shardGroup: "default" };
  if (program.watchAtMs !== null) run.post(at(program.watchAtMs, 60), WATCH, watcher);
}

export function codeOf(program: RandomProgram, salt: number, observer: Observer): Program {
  return async (ctx, stage, input) => {
    const run = (input as { run?: number }).run ?? 0;
    const code = new Code(ctx, stage, observer, `${run}`, observer.begin(run), salt);
    try {
      const { next } = program;
      const values = await code.run(run === 0 || next === null ? program.plans : next, program.isTolerant);
      code.isOver = true;
      observer.ended(run, stage.clock.now());
      if (run === 0 && next !== null) return await ctx.continueAsNew({ run: 1 });
      if (program.failsAtItsEnd) throw new Error("the program fails at its end");
      return values;
    } catch (error) {
      observer.ended(run, stage.clock.now());
      code.isOver = !code.hasCompensations;
      throw error;
    }
  };
}

class Code {
  readonly #ctx: StageContext;
  readonly #stage: ExecutionStage;
  readonly #observer: Observer;
  readonly #run: string;
  readonly #trace: string[];
  readonly #salt: number;
  #count = 0;
  /** What it left behind is not looked at any more. */
  isOver = false;
  hasCompensations = false;

  constructor(
    ctx: StageContext,
    stage: ExecutionStage,
    observer: Observer,
    run: string,
    trace: string[],
    salt: number,
  ) {
    this.#ctx = ctx;
    this.#stage = stage;
    this.#observer = observer;
    this.#run = run;
    this.#trace = trace;
    this.#salt = salt;
  }

  async run(plans: readonly Plan[], isTolerant: boolean): Promise<unknown[]> {
    const values: unknown[] = [];
    for (const plan of plans) {
      try {
        values.push(await this.#do(plan, true));
      } catch (error) {
        if (!isTolerant) throw error;
        values.push(this.#note(`went on after ${String(error)}`));
      }
    }
    return values;
  }

  async #sequence(plans: readonly Plan[], isAlone: boolean): Promise<unknown[]> {
    const values: unknown[] = [];
    for (const plan of plans) values.push(await this.#do(plan, isAlone));
    return values;
  }

  /** @param isAlone whether nothing that the code does beside it may end at the same moment */
  async #do(plan: Plan, isAlone: boolean): Promise<unknown> {
    const ctx = this.#ctx;
    const { activities } = ctx;
    switch (plan.type) {
      case "sequence":
        return this.#sequence(plan.plans, isAlone);
      case "all":
        return Promise.all(plan.plans.map((each) => this.#do(each, false)));
      case "race":
        return Promise.race(plan.plans.map((each) => this.#do(each, false)));
      case "any":
        return Promise.any(plan.plans.map((each) => this.#do(each, false)));
      case "settled":
        return (await Promise.allSettled(plan.plans.map((each) => this.#do(each, false)))).map(
          ({ status }) => status,
        );
      case "loop": {
        const values: unknown[] = [];
        for (let round = 0; round < plan.times; round += 1) values.push(await this.#do(plan.plan, isAlone));
        return values;
      }
      case "try":
        try {
          return await this.#do(plan.plan, isAlone);
        } catch (error) {
          this.#note(`caught ${String(error)}`);
          return plan.rescue === null ? "caught" : await this.#do(plan.rescue, isAlone);
        } finally {
          if (plan.cleanup !== null) await this.#do(plan.cleanup, isAlone);
        }
      case "generator": {
        const values: unknown[] = [];
        for await (const value of this.#generate(plan.plans, plan.cleanup, isAlone)) {
          values.push(value);
          if (values.length >= plan.taken) break;
        }
        return values;
      }
      case "helper":
        return hop(plan.hops, () => this.#do(plan.plan, isAlone));
      case "meanwhile": {
        const begun = this.#do(plan.plan, false);
        begun.catch(() => undefined);
        return [await this.#do(plan.other, false), await begun];
      }
      case "now":
      case "random":
      case "uuid":
        return this.#note(String(ctx[plan.type]()));
      case "state":
        return ctx.setState(this.#note(this.#label()));
      case "attributes":
        return ctx.setAttributes({ label: this.#note(this.#label()) });
      case "patched":
        return this.#note(`patched ${plan.id}: ${ctx.patched(plan.id)}`);
      default:
    }
    const label = this.#label();
    // Of two steps beside each other that end at once either may come first.
    const own = isAlone && "ms" in plan && plan.ms === 0 ? 0 : ownMs(this.#count, this.#salt);
    switch (plan.type) {
      case "commit":
      case "take":
      case "broken":
        return this.#see(label, activities[plan.type](label, plan.ms + own), { isAlone });
      case "flaky":
      case "flakyCommit":
        return this.#see(label, activities[plan.type](label, plan.times, plan.ms + own), { isAlone });
      case "inline":
        return this.#see(
          label,
          ctx.run(label, async ({ attempt, signal }) => {
            await this.#stage.lasts(`${label}#${attempt}`, plan.ms + own, signal);
            return ctx.executionId;
          }),
          { isAlone },
        );
      case "call":
        return this.#see(label, ctx.entity(Echo, "e").echo({ label, ms: plan.ms + own }), { isAlone });
      case "sleep":
        return this.#see(label, ctx.sleep(plan.ms + own), { isAlone, isWait: true });
      case "sleepUntil":
        return this.#see(label, ctx.sleepUntil(new Date(ctx.now() + plan.ms + own)), {
          isAlone,
          isWait: true,
        });
      case "signal": {
        const timeout = plan.timeoutMs === null ? {} : { timeout: plan.timeoutMs + own };
        return this.#see(label, ctx.signal(plan.name, timeout), { isAlone, isWait: true });
      }
      case "child":
        return this.#child(plan, label, own, isAlone);
      case "compensated":
        this.hasCompensations = true;
        return ctx.onCompensate(label, () => this.#do({ type: plan.by, ms: plan.ms }, true));
    }
  }

  async #child(
    plan: Extract<Plan, { type: "child" }>,
    label: string,
    own: number,
    isAlone: boolean,
  ): Promise<unknown> {
    const { isStubborn, ending, isDetached, isNamed, ms, does, wakesMsBefore } = plan;
    const input: ChildInput = { label, ms: ms + own, isStubborn, ending, wakesMsBefore };
    const child = this.#ctx.child(isNamed ? NamedChild : PlacedChild);
    const options = { detached: isDetached };
    if (does === "execute") return this.#see(label, child.execute(input, options), { isAlone });
    const handle = await this.#see(`${label} start`, child.start(input, options), {
      isAlone,
      show: ({ executionId }) => executionId,
    });
    if (does === "start") return handle.executionId;
    if (does === "start, signal, then cancel") {
      await this.#see(`${label} signal`, handle.signal("a", label), { isAlone });
      await this.#see(`${label} cancel`, handle.cancel(label), { isAlone });
    }
    return this.#see(`${label} result`, handle.result(), { isAlone });
  }

  async *#generate(plans: readonly Plan[], cleanup: Plan | null, isAlone: boolean): AsyncGenerator {
    try {
      for (const plan of plans) yield await this.#do(plan, isAlone);
    } finally {
      if (cleanup !== null) await this.#do(cleanup, isAlone);
    }
  }

  /** Labels rise as the code asks, so a replay that asks otherwise shows. */
  #label(): string {
    this.#count += 1;
    return `${this.#run}.${this.#count}`;
  }

  #note(text: string): string {
    if (!this.isOver) this.#trace.push(text);
    return text;
  }

  async #see<Value>(
    label: string,
    step: Promise<Value>,
    {
      isAlone,
      isWait = false,
      show = String,
    }: { isAlone: boolean; isWait?: boolean; show?: (value: Value) => unknown },
  ): Promise<Value> {
    const { clock } = this.#stage;
    const seen = this.#observer.asked(label, clock.now(), isAlone);
    const given = (text: string, error: unknown): void => {
      // A step that is asked for after the cancellation is told of it at once, and one that waits is.
      const isCutShort = error instanceof WorkflowCancelledError && (isWait || seen.askedAt === clock.now());
      this.#observer.given(seen, clock.now(), isCutShort);
      this.#note(`${label} ${text}`);
    };
    try {
      const value = await step;
      given(`= ${String(show(value))}`, null);
      return value;
    } catch (error) {
      given(`threw ${String(error)}`, error);
      throw error;
    }
  }
}

/** Runs `work` between two rows of microtasks. */
async function hop<Result>(hops: number, work: () => Promise<Result>): Promise<Result> {
  for (let count = 0; count < hops; count += 1) await Promise.resolve();
  const result = await work();
  for (let count = 0; count < hops; count += 1) await Promise.resolve();
  return result;
}
