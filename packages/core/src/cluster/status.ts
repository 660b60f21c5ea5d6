import type { Member, MemberState } from "./member.ts";

/** What a member knows of itself and the others. */
export interface ClusterStatus {
  /** Where others reach it, or null while it is not started. */
  readonly address: string | null;
  readonly role: "runner" | "client";
  readonly state: MemberState;
  readonly runners: readonly {
    readonly runnerId: string;
    readonly address: string;
    readonly role: "runner" | "client";
    readonly weight: number;
  }[];
  readonly shards: {
    /** Served by this member. */
    readonly owned: number;
    /** Of all the groups that this member hosts. */
    readonly total: number;
  };
  /** Whether it keeps off its shards because storage or leases are out of reach. */
  readonly detached: boolean;
}

/** Whether a member is alive and ready, and why. */
export interface ClusterHealth {
  /** The process may go on. False once it is stopped. */
  readonly live: boolean;
  /** It is a member, holds its lease and its shards, and takes requests. */
  readonly ready: boolean;
  readonly checks: Readonly<
    Record<
      "started" | "lease" | "shards" | "attached" | "served",
      { readonly ok: boolean; readonly detail: string }
    >
  >;
}

/** What a member has done, and what it holds. */
export interface ClusterMetrics {
  snapshot(): Readonly<Record<string, number>>;
}

export function statusOf(member: Member): ClusterStatus {
  const parts = member.partsIfAny;
  const { role, shardGroups, shardsPerGroup } = member.settings;
  return {
    address: parts?.address ?? null,
    role,
    state: member.state,
    runners: (parts?.router.runners ?? []).map(({ runnerId, address, role: itsRole, weight }) => ({
      runnerId,
      address,
      role: itsRole,
      weight,
    })),
    shards: { owned: parts?.owner.owned.length ?? 0, total: shardGroups.length * shardsPerGroup },
    detached: member.isDetached,
  };
}

export function healthOf(member: Member): ClusterHealth {
  const parts = member.partsIfAny;
  const { role } = member.settings;
  const owned = parts?.owner.owned.length ?? 0;
  const wanted =
    parts === null || role === "client"
      ? 0
      : parts.router.shardsOf(parts.lease.runnerId, member.settings.shardGroups).length;
  const unserved = parts?.host.unservedTypes ?? [];
  const checks = {
    started: { ok: member.state === "running", detail: member.state },
    lease: {
      ok: parts?.lease.isHeld() ?? false,
      detail: parts?.lease.isHeld() === true ? "held" : "not held",
    },
    shards: { ok: owned >= wanted, detail: `${owned} of ${wanted}` },
    attached: {
      ok: !member.isDetached,
      detail: member.isDetached ? "storage or leases are out of reach" : "attached",
    },
    served: {
      ok: unserved.length === 0,
      detail: unserved.length === 0 ? "all" : `requests wait for: ${unserved.join(", ")}`,
    },
  };
  return {
    live: member.state !== "stopped",
    // A type that only another version serves makes the wait visible, and this runner no less ready.
    ready: checks.started.ok && checks.lease.ok && checks.shards.ok && checks.attached.ok,
    checks,
  };
}

export function metricsOf(member: Member): ClusterMetrics {
  return {
    snapshot: () => ({
      ...Object.fromEntries(Object.entries(member.counters)),
      shardsOwned: member.partsIfAny?.owner.owned.length ?? 0,
      activeEntities: member.partsIfAny?.host.activeEntities ?? 0,
      pendingCalls: member.partsIfAny?.delivery.pending ?? 0,
    }),
  };
}
