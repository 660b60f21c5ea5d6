// CronHost: the crons of this member. While a cron's shard is here, its chain of ticks is seeded, and mended time and again.
//
// Why a chain goes on, and when it has to be mended, is in singleton/cron-runner.ts. Here is how a tick is sent, and where one that
// waits is looked for. Ticks are handled by the entity host, like any request.

import { setMaxListeners } from "node:events";
import type { Clock } from "../adapter/clock.ts";
import type { MessageStorage } from "../adapter/message-storage.ts";
import type { Caller } from "../client/caller.ts";
import { sleep } from "../clock/sleep.ts";
import type { Logger } from "../contract/logger.ts";
import type { EntityAddress } from "../data/entity-address.ts";
import type { ShardId } from "../data/shard-id.ts";
import { bindCron, type CronDefinition } from "../define/cron.ts";
import type { MakeRunContext } from "../define/singleton.ts";
import type { EntityHost } from "../entity/entity-host.ts";
import type { Router } from "../sharding/router.ts";
import { CronRunner, TICK, tickOf, type Cron } from "../singleton/cron-runner.ts";

/** How many old ticks of a cron are deleted at a time: more than a cron by the second makes in between. */
const FORGET_AT_ONCE = 500;
const MEND_EVERY_MS = 60_000;
/** How many requests of the shards that a cron may have been in are looked at for an overdue tick. */
const LOOKED_FOR_TICK = 1_000;

export interface CronHostOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly messages: MessageStorage;
  readonly caller: Caller;
  readonly host: EntityHost;
  readonly router: Router;
  readonly makeContext: MakeRunContext;
}

export class CronHost {
  readonly #options: CronHostOptions;
  readonly #crons = new Map<ShardId, CronRunner[]>();
  /** What ends the seeding of a shard's crons when the shard leaves. */
  readonly #seeding = new Map<ShardId, AbortController>();

  constructor(options: CronHostOptions) {
    this.#options = options;
  }

  /** Adds a cron, and seeds it if its shard is here already. Its name must be new: definitions are checked before. */
  register(definition: CronDefinition): void {
    const { host, router, makeContext } = this.#options;
    const runner = this.#runnerOf(bindCron(definition, makeContext));
    host.register(runner.behavior);
    const shardId = router.shardOf(definition.shardGroup, runner.entityId);
    this.#crons.set(shardId, [...(this.#crons.get(shardId) ?? []), runner]);
    if (host.serves(shardId)) this.#seed(shardId, [runner]);
  }

  /** The shard is claimed: seeds its crons. */
  take(shardId: ShardId): void {
    this.#seed(shardId, this.#crons.get(shardId) ?? []);
  }

  /** The shard leaves, or is lost. */
  drop(shardId: ShardId): void {
    this.#seeding.get(shardId)?.abort();
    this.#seeding.delete(shardId);
  }

  #runnerOf(cron: Cron): CronRunner {
    const { clock, logger, messages, caller } = this.#options;
    const runner: CronRunner = new CronRunner(cron, {
      clock,
      logger,
      forgetTicks: async (answeredBefore) => {
        const entityType = runner.behavior.contract.name;
        await messages.forgetAnswered({ entityType, answeredBefore, limit: FORGET_AT_ONCE });
      },
      isWaiting: async (instant) => {
        const address = { entityType: runner.behavior.contract.name, entityId: runner.entityId };
        const { scheduledTime } = tickOf(instant);
        const state = await messages.lookUpByKey(address, TICK, scheduledTime);
        if (state?.state !== "pending") return false;
        // It may have been put off since.
        const overdueMs = clock.now() - (state.deliverAt ?? instant);
        if (overdueMs < MEND_EVERY_MS || (await this.#isHandedOut(address, state.requestId))) return true;
        const fields = { cron: cron.name, scheduledTime };
        logger.warn("A cron goes on without a tick: it waits in a shard group that nobody serves", fields);
        return false;
      },
      scheduleTick: (instant) => {
        const { contract } = runner.behavior;
        const target = { contract, entityId: runner.entityId, tag: TICK, fromInside: true };
        const tick = tickOf(instant);
        return caller.notify(target, tick, {
          idempotencyKey: tick.scheduledTime,
          deliverAt: new Date(instant),
        });
      },
    });
    return runner;
  }

  /**
   * Whether some live runner has a due request of an entity, or will: here, or in another shard group that it had before, as
   * while a new release is rolled out.
   */
  async #isHandedOut(
    { entityType, entityId }: Pick<EntityAddress, "entityType" | "entityId">,
    requestId: string,
  ): Promise<boolean> {
    const { host, router, messages, clock } = this.#options;
    if (host.hosts(requestId)) return true;
    const groups = router.groupsServing(entityType);
    const { requests, more } = await messages.readPending({
      shardIds: groups.map((group) => router.shardOf(group, entityId)),
      now: clock.now(),
      limit: LOOKED_FOR_TICK,
      excludingSequences: [],
      excludingEntities: [],
    });
    return more || requests.some(({ envelope }) => envelope.requestId === requestId);
  }

  #seed(shardId: ShardId, crons: readonly CronRunner[]): void {
    if (crons.length === 0) return;
    const abort = this.#seeding.get(shardId) ?? new AbortController();
    // Node 22 warns of more than ten crons that sleep until it is aborted.
    setMaxListeners(0, abort.signal);
    this.#seeding.set(shardId, abort);
    for (const cron of crons) void this.#keepSeeded(cron, abort.signal);
  }

  /** As long as the shard is here. Never rejects. */
  async #keepSeeded(cron: CronRunner, signal: AbortSignal): Promise<void> {
    await cron.seed(signal);
    for (;;) {
      await sleep(this.#options.clock, MEND_EVERY_MS, signal);
      if (signal.aborted) return;
      await cron.mend(signal);
    }
  }
}
