import type { OpenRunners, Random } from "@holdfast/core/adapter";
import { EtcdRunnerStorage } from "./etcd-runner-storage.ts";
import { EtcdSession } from "./etcd-session.ts";
import type { EtcdSettings } from "./options.ts";

/** Connects, and sees that etcd answers and lets this user in. @throws {PersistenceError} */
export async function openEtcd(settings: EtcdSettings, random: Random): Promise<OpenRunners> {
  const session = new EtcdSession(settings);
  const runners = new EtcdRunnerStorage(session, random);
  try {
    await runners.listRunners();
  } catch (error) {
    session.close();
    throw error;
  }
  return { runners, close: () => runners.close() };
}
