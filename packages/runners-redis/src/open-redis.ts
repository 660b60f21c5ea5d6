import type { OpenRunners, Random } from "@holdfast/core/adapter";
import type { RedisSettings } from "./options.ts";
import { RedisRunnerStorage } from "./redis-runner-storage.ts";
import { RedisSession } from "./redis-session.ts";

/** Connects, and sees that Redis answers, lets this user in and runs scripts. @throws {PersistenceError} */
export async function openRedis(settings: RedisSettings, random: Random): Promise<OpenRunners> {
  const session = new RedisSession(settings, random);
  const runners = new RedisRunnerStorage(session);
  try {
    await runners.listRunners();
  } catch (error) {
    session.close();
    throw error;
  }
  return { runners, close: () => runners.close() };
}
