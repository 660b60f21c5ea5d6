// @holdfast/runners-etcd: members, shard leases and health in etcd.

import type { RunnersAdapter } from "@holdfast/core/adapter";
import { checkOptions, optionsFromUrl, type EtcdOptions } from "./options.ts";
import { openEtcd } from "./open-etcd.ts";

export type { EtcdOptions } from "./options.ts";

/**
 * Keeps members and shard leases in etcd 3.4 or later.
 *
 * @throws {ConfigError} an option is out of range
 */
export function etcd(options: EtcdOptions = {}): RunnersAdapter {
  const settings = checkOptions(options);
  return { kind: "runners", open: ({ random }) => openEtcd(settings, random) };
}

/** What `runners: "etcd://..."` means. @throws {ConfigError} */
export function runnersFromUrl(url: string): RunnersAdapter {
  return etcd(optionsFromUrl(url));
}
