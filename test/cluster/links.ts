// Links that break: what several scenarios do to the connections of runners.

import { lasting, until } from "./clock.ts";
import type { Conduct } from "./network.ts";
import { OUTLASTING_MS } from "./settings.ts";
import type { World } from "./world.ts";

/** A runner whose lease is refreshed and that cannot do its work detaches after 5 s; the rest is for slow machines. */
const DEPRIVED_LIMIT_MS = 20_000;

type Links = readonly (readonly [runner: string, target: string])[];

/** Lets some links behave so, one conduct after the other, each for longer than a lease. */
export async function estrange(world: World, links: Links, conducts: readonly Conduct[]): Promise<void> {
  for (const conduct of conducts) {
    for (const [runner, target] of links) world.link(runner, target, conduct);
    await lasting(OUTLASTING_MS);
    await world.owned();
    await world.healed();
  }
}

/** The same, of what a runner cannot serve without: others are to take its shards over. */
export async function deprive(world: World, target: string, conducts: readonly Conduct[]): Promise<void> {
  for (const conduct of conducts) {
    world.link("a", target, conduct);
    await until(`a runner without ${target} serves nothing`, DEPRIVED_LIMIT_MS, () => !world.serves("a"));
    await world.owned();
    await world.healed();
  }
}
