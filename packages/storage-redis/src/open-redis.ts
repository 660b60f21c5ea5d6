// Opens a session on a Redis: the first link is made, the server's settings looked at, the parts joined.

import type { AdapterServices, OpenStorage } from "@holdfast/core/adapter";
import { connections } from "./connections.ts";
import type { RedisSettings } from "./options.ts";
import { RedisMessageStorage } from "./redis-message-storage.ts";
import { RedisSession } from "./redis-session.ts";
import { RedisWorkflowStorage } from "./redis-workflow-storage.ts";
import { dangersOf } from "./server-settings.ts";
import { WakeUps } from "./wake-ups.ts";

/** @throws {PersistenceError} @throws what `onWarning` throws; no session is left behind */
export async function openRedis(settings: RedisSettings, { clock }: AdapterServices): Promise<OpenStorage> {
  const session = new RedisSession(connections(settings), clock, settings);
  const { redis } = await session.open();
  try {
    for (const danger of await dangersOf(redis, settings.commandTimeoutMs)) settings.onWarning(danger);
  } catch (error) {
    await session.close();
    throw error;
  }
  return {
    messages: new RedisMessageStorage(session, new WakeUps(session)),
    workflows: new RedisWorkflowStorage(session),
    runners: null,
    close: () => session.close(),
  };
}
