import type { OpenRunners, Random } from "@holdfast/core/adapter";
import { takenKeys } from "./errors.ts";
import type { RedisSettings } from "./options.ts";
import { RedisRunnerStorage } from "./redis-runner-storage.ts";
import { RedisSession } from "./redis-session.ts";
import { LIST_TAKEN } from "./scripts.ts";

/**
 * Connects, and sees that Redis answers, lets this user in and runs scripts.
 *
 * @throws {PersistenceError} @throws {ConfigError} something else is kept under the prefix
 */
export async function openRedis(settings: RedisSettings, random: Random): Promise<OpenRunners> {
  const session = new RedisSession(settings, random);
  const runners = new RedisRunnerStorage(session);
  try {
    const taken = (await session.run("open", "read", LIST_TAKEN)) as string[];
    if (taken.length > 0) throw takenKeys(settings.prefix, taken);
    await runners.listRunners();
  } catch (error) {
    session.close();
    throw error;
  }
  return { runners, close: () => runners.close() };
}
